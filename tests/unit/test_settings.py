"""Settings are read once, with clear errors for what they are not."""

from datetime import timedelta

import pytest

from shared.base.durations import format_duration, parse_duration
from shared.base.errors import SettingInvalid
from shared.base.settings import read_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIGNALBOX_LEASE_SECONDS", "soon"),
        ("SIGNALBOX_LEASE_SECONDS", "0"),
        ("SIGNALBOX_BUDGET_SECONDS", "-1"),
        ("SIGNALBOX_RETENTION_DAYS", "1.5"),
        ("SIGNALBOX_METRICS_GRAIN_SECONDS", "0.5"),
        ("SIGNALBOX_ARM_ENDPOINT", "http://management.azure.com"),
        ("SIGNALBOX_STUDIO_ENDPOINT", "ml.azure.com"),
        ("SIGNALBOX_DEVOPS_ENDPOINT", "http://dev.azure.com"),
        ("SIGNALBOX_GITHUB_ENDPOINT", "git@github.com"),
    ],
)
def test_a_setting_that_is_not_what_it_should_be_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingInvalid, match=name) as raised:
        read_settings({name: value})
    assert name in raised.value.hint


def test_an_endpoint_has_no_slash_at_its_end() -> None:
    settings = read_settings({"SIGNALBOX_ARM_ENDPOINT": "https://management.chinacloudapi.cn/"})
    assert settings.arm_endpoint == "https://management.chinacloudapi.cn"


@pytest.mark.parametrize(
    ("arm", "aml"),
    [
        ("https://management.azure.com", "https://ml.azure.com"),
        ("https://management.usgovcloudapi.net", "https://ml.azure.us"),
        ("https://management.usgovcloudapi.net:443/", "https://ml.azure.us"),
        ("https://Management.ChinaCloudApi.cn/", "https://ml.azure.cn"),
        ("https://localhost:8443", "https://ml.azure.com"),
    ],
)
def test_whom_tokens_are_for_and_where_the_studio_is_follow_the_cloud(arm: str, aml: str) -> None:
    settings = read_settings({"SIGNALBOX_ARM_ENDPOINT": arm})
    assert (settings.aml_audience, settings.studio_endpoint) == (aml, aml)
    other = {"SIGNALBOX_ARM_ENDPOINT": arm, "SIGNALBOX_STUDIO_ENDPOINT": "https://studio.example"}
    assert read_settings(other).studio_endpoint == "https://studio.example"
    assert read_settings(other).aml_audience == aml


def test_metrics_are_by_the_minute() -> None:
    assert read_settings({}).metrics_grain == timedelta(minutes=1)
    assert read_settings({"SIGNALBOX_METRICS_GRAIN_SECONDS": "1"}).metrics_grain.seconds == 1


def test_the_endpoints_of_other_services_are_the_public_ones() -> None:
    settings = read_settings({})
    assert settings.devops_endpoint == "https://dev.azure.com"
    assert settings.github_endpoint == "https://api.github.com"


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("0s", 0)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    parsed = parse_duration(text)
    assert parsed == timedelta(seconds=seconds)
    assert isinstance(parsed, timedelta)
    assert format_duration(parsed) == text


@pytest.mark.parametrize("text", ["", "15", "m", "1.5h", "-1m", "1w", "1 h", 15, None, "9" * 20])
def test_what_is_no_duration_is_answered_with_the_form(text: object) -> None:
    with pytest.raises(ValueError, match="a length of time"):
        parse_duration(text)
