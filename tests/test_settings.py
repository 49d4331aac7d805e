"""Environment variables: read, checked, and named when they are unusable."""

from __future__ import annotations

import pytest

from companion.errors import SettingError
from companion.settings import VARIABLES, Settings

NUMBERS = [variable.name for variable in VARIABLES if isinstance(variable.default, int)]


def test_unset_and_empty_variables_have_their_defaults() -> None:
    unset = Settings.from_env({})
    assert unset.values == Settings.from_env({variable.name: "" for variable in VARIABLES}).values
    assert unset.limits.idle_timeout == 3_600_000
    assert unset.limits.prompt_timeout == 4 * 3_600_000
    assert unset.limits.strict_terminal is True


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["-1", "soon", "1.5", "1e3", " 5", "٣"])
def test_a_value_that_is_no_number_or_negative_is_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        Settings.from_env({name: value})


def test_an_unknown_policy_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(SettingError, match="auto, relay"):
        Settings.from_env({"OPENCODE_COMPANION_PERMISSIONS": "yolo"})
