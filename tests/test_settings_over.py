"""A settings file over the settings of a run."""

import pytest

from cbminer.errors import SettingsError
from cbminer.settings import load_settings, settings_from_mapping, settings_over


def test_what_the_file_does_not_name_stays(tmp_path):
    base = load_settings()
    mapping = base.model_dump(mode="json")
    mapping["selection"]["period"]["period_max"] = "2 d"
    mapping["ranking"]["contour"] = 0.5
    base = settings_from_mapping(mapping)
    path = tmp_path / "more.toml"
    path.write_text("[ranking]\ncurve = 'network'\n")
    over = settings_over(base, path)
    assert over.ranking.curve == "network"
    assert over.ranking.contour == 0.5
    assert over.selection.period.period_max == 2.0
    assert over.model_copy(update={"ranking": base.ranking}) == base


def test_errors_name_file_line_and_key(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("[ranking]\n\ncontuor = 0.5\n")
    with pytest.raises(SettingsError, match=r"wrong\.toml, line 3: ranking\.contuor: unknown key"):
        settings_over(load_settings(), path)
