import numpy as np
import pytest

from radlib import memory


def test_what_was_held_and_let_go_again_is_counted():
    with memory.peak() as before:
        pass
    with memory.peak() as during:
        held = np.ones(50_000_000, np.float32)  # 200 MB
        total = held.sum()
        del held
    assert total == 5e7
    assert during.mb - before.mb == pytest.approx(200, rel=0.2)


def test_the_peak_is_known_after_an_error():
    with pytest.raises(ValueError), memory.peak() as found:
        raise ValueError
    assert found.mb > 10
