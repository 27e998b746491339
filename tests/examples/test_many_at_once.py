"""The example that trains many networks at once: each of them as it would train alone."""

import pytest
import torch

from greyhound.study import Study

OPTIONS = [
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2, "smoothing": 0.2},
    {"lr": 0.01, "momentum": 0.0, "weight_decay": 0.0, "smoothing": 0.0},
]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several, on a busy machine, wait for each other at each of its small steps
    yield
    torch.set_num_threads(threads)


def test_a_network_of_a_stack_trains_as_it_would_alone(example):
    many = example("stack")
    stack = many.Stack(2)
    for at, options in enumerate(OPTIONS):
        many.Place(stack, at, options, seed=at)
    stack.order.manual_seed(7)
    stack.train_epoch(batch_size=500)
    accuracies = stack.accuracy()
    images, labels = many.data()["train"]
    for at, options in enumerate(OPTIONS):
        torch.manual_seed(at)
        model = many.build()
        loss = torch.nn.CrossEntropyLoss(label_smoothing=options["smoothing"])
        rest = {name: value for name, value in options.items() if name != "smoothing"}
        optimizer = torch.optim.SGD(model.parameters(), **rest)
        for batch in torch.randperm(len(labels), generator=torch.Generator().manual_seed(7)).split(500):
            optimizer.zero_grad()
            loss(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        for name, weights in model.named_parameters():
            torch.testing.assert_close(stack.weights[name][at], weights.detach(), rtol=1e-4, atol=1e-6)
        held, right = many.data()["validation"]
        assert float(accuracies[at]) == pytest.approx(float((model(held).argmax(1) == right).float().mean()), abs=2e-3)


def test_a_place_is_left_and_taken_up_without_touching_the_others(example):
    many = example("stack")
    stack = many.Stack(2)
    first = many.Place(stack, 0, OPTIONS[0], seed=0)
    stack.train_epoch(batch_size=500)
    kept, other = first.state_dict(), many.Place(stack, 1, OPTIONS[1], seed=1).state_dict()
    again = many.Place(stack, 0, OPTIONS[1], seed=5)
    assert not torch.equal(again.state_dict()["1.weight"][0], kept["1.weight"][0])
    again.load_state_dict(kept)
    for name, (weights, velocity) in kept.items():
        assert torch.equal(stack.weights[name][0], weights)
        assert torch.equal(stack.velocity[name][0], velocity)
        assert torch.equal(stack.weights[name][1], other[name][0])
        assert not stack.velocity[name][1].any()


def test_it_tunes_and_goes_on(example):
    many = example("many_at_once")
    first = many.main("6 trials", at_once=4)
    assert len(first.trials) == 6
    second = many.main("8 trials", at_once=4)
    assert len(second.trials) == 8
    assert second.best.metrics["accuracy"] > 0.8
    assert not Study.load("many_at_once.db").history.running
