"""Plug-ins by name, by a table or as they are; what is none of these is told."""

import pytest

from greyhound import samplers, schedulers
from greyhound.errors import StudyError
from greyhound.schedulers.asha import Asha
from greyhound.study import Study


def test_a_name_a_table_and_an_instance_make_the_same():
    made = Asha(eta=4)
    assert schedulers.REGISTRY.make({"name": "asha", "eta": 4}) == made
    assert schedulers.REGISTRY.make(made) is made
    assert schedulers.REGISTRY.make("asha") == Asha()


@pytest.mark.parametrize("wanted", [None, 5, Asha, ["asha"]], ids=repr)
def test_what_is_no_plug_in_is_told(wanted):
    with pytest.raises(StudyError, match=r"scheduler: write a name such as 'asha', a table such as .*; got"):
        Study({}, scheduler=wanted)
    with pytest.raises(StudyError, match="sampler: write a name such as 'auto'"):
        samplers.REGISTRY.make(wanted)
