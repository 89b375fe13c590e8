"""A network learns from few real photographs, from scratch, with no option given."""

from statistics import fmean

import pytest

import striate


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ants_and_bees_are_told_apart_by_the_defaults(real_data, tmp_path):
    """Mean over five seeds of the validation accuracy of the best epoch, at least 0.70."""
    found = []
    for seed in range(5):
        recipe = striate.Recipe(data=str(real_data / "photos-hymenoptera"), seed=seed)
        found.append(striate.train(recipe, run=tmp_path / str(seed)).validation_accuracy)
    assert fmean(found) >= 0.70, found
