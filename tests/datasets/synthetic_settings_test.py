import numpy as np
import pytest

from tfdistill.datasets.synthetic import simulate
from tfdistill.datasets.synthetic_settings import (
    BAD_TEACHER,
    EQUAL_FEATURES_AMPLE_DATA,
    MAIN,
    SimulatorConfig,
)


@pytest.mark.parametrize("setting", [MAIN, EQUAL_FEATURES_AMPLE_DATA, BAD_TEACHER])
def test_tiny_settings_run_and_keep_the_click_rate(setting):
    simulation = simulate(setting.tiny())
    assert simulation.requests.num_requests <= 6000
    assert np.nanmean(simulation.requests.labels) == pytest.approx(0.1, abs=0.01)


def test_settings_differ_as_their_names_say():
    assert MAIN == SimulatorConfig()
    equal = simulate(EQUAL_FEATURES_AMPLE_DATA.tiny())
    assert equal.spec.non_privileged() == equal.spec
    main, bad = simulate(MAIN.tiny()), simulate(BAD_TEACHER.tiny())
    assert main.spec.non_privileged() != main.spec == bad.spec
    np.testing.assert_array_equal(bad.requests.labels, main.requests.labels)
    former = bad.teacher_requests.labels
    rates = [former[main.requests.labels == label].mean() for label in (0, 1)]
    assert 1 < rates[1] / rates[0] < 2  # by quality and activity alone


def test_tiny_never_has_fewer_items_than_a_list():
    assert SimulatorConfig(users=5, items=30).tiny().items == 20
    assert SimulatorConfig(users=5, items=30).tiny().users == 1
