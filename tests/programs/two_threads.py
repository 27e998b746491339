"""Two threads of a program that compute with one thread of BLAS at once, the first to enter the first to leave."""

import threading
import time

import numpy as np
from threadpoolctl import threadpool_info

from greyhound.numeric import threads


def blas():
    np.linalg.eigh(np.eye(2))
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def compute(name, begin, end):
    begin.wait()
    with threads.one():
        print(name, "in", blas())
        entered.set()
        end()
        print(name, "out", blas())


print("before", blas())
entered, go = threading.Event(), threading.Event()
go.set()
first = threading.Thread(target=compute, args=("first", go, lambda: time.sleep(0.2)))
second = threading.Thread(target=compute, args=("second", entered, lambda: first.join(1.0)))
first.start()
second.start()
first.join()
second.join()
print("after", blas())
