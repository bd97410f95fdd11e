"""The stack in containers, as far as it can be judged without an engine."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.lifecycle import GRACE
from chassis.settings import REQUIRED, Common
from chassis.version import PACKAGES, VERSION

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = "seriatim:${COMPOSE_PROJECT_NAME}"
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == IMAGE)
DOCKERFILE = (ROOT / "Dockerfile").read_text()

FIXED = ("OPS_HOST", "OPS_PORT")
"""Settings that containers leave at their defaults, as others rely on them."""

UNCHECKED = {"redis-exporter"}
"""Services whose image has nothing to check their health with."""


def fields(service: str) -> dict[str, dataclasses.Field[Any]]:
    """Collect the settings of one of our services by variable."""
    kind: type[Common] = importlib.import_module(f"{service}.settings").Settings
    return {field.metadata["variable"]: field for field in dataclasses.fields(kind)}


def offered() -> dict[str, str]:
    """Collect the variables that may be set from outside, with what holds if they are not."""
    found = {
        name: default or "" for name, default in re.findall(r"\$\{([A-Z_]+)(?::-([^}]*))?", TEXT)
    }
    for service in OURS:
        for name, value in SERVICES[service]["environment"].items():
            if value is None:
                found[name] = fields(service)[name].metadata["default"]
    return found


def documented() -> dict[str, str]:
    """Collect the variables of .env.example, with the values that it shows."""
    example = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"(?m)^#([A-Z_]+)=(.*)$", example))


def mount(volume: str | dict[str, Any]) -> tuple[str, bool]:
    """Tell what a volume mounts where .env sets nothing, and whether it may be written to."""
    if isinstance(volume, str):
        return volume.partition(":")[0], not volume.endswith(":ro")
    # What a user names may be missing, and the engine would make a directory of that name.
    assert volume["bind"] == {"create_host_path": False}, volume
    source = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", volume["source"])
    return source, not volume["read_only"]


@pytest.mark.parametrize("example", [os.devnull, ".env.example"])
def test_docker_compose_accepts_the_file(example: str) -> None:
    """`docker compose up` would stop at a mistake in the file."""
    command = ["docker", "compose", "--env-file", example, "config", "--quiet"]
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("docker compose is not installed")
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("service", OURS)
def test_services_are_given_all_their_settings_and_no_others(service: str) -> None:
    """A setting in .env would have no effect, or the service would stop with status 2."""
    kept = {*FIXED, f"{service.upper()}_HOST", f"{service.upper()}_PORT"}
    assert set(SERVICES[service]["environment"]) == set(fields(service)) - kept


def test_what_can_be_set_is_in_the_example() -> None:
    """A user would not find a setting, or would read a wrong default."""
    assert documented() == offered()
    assert list(documented())[:2] == ["INGESTOR_URL", "PUBLISHER_URL"]


def test_defaults_agree_with_each_other() -> None:
    """A service would come with another password than Redis expects."""
    defaults: dict[str, set[str]] = {}
    for name, default in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT):
        defaults.setdefault(name, set()).add(default)
    assert not {name: values for name, values in defaults.items() if len(values) > 1}


def test_every_setting_in_the_example_is_explained() -> None:
    """A user would have to guess what a setting means."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"#?[A-Z_]+=", line):
            assert before.startswith(("# ", "#REDIS_PASSWORD_")), line


def test_required_settings_have_a_value() -> None:
    """`docker compose up` would not come up without a .env."""
    for service in OURS:
        for name, value in SERVICES[service]["environment"].items():
            assert fields(service)[name].metadata["default"] is not REQUIRED or value, name


@pytest.mark.parametrize("name", SERVICES)
def test_containers_can_do_no_harm(name: str) -> None:
    """A container that was taken over could write, gain rights or starve the others."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "network_mode", "pid", "devices"} & set(service)
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "size=" in service["tmpfs"]
    if name not in OURS:
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    for volume in service.get("volumes", []):
        source, writable = mount(volume)
        assert not source.startswith(("/", "..")), volume
        assert not source.startswith("./") or not writable, volume


@pytest.mark.parametrize("name", SERVICES)
def test_containers_look_after_themselves(name: str) -> None:
    """A container would stay down, fill the disk with logs, or be killed while it drains."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert int(service["stop_grace_period"].removesuffix("s")) > GRACE
    assert ("healthcheck" in service) == (name not in UNCHECKED)
    for needed, how in service.get("depends_on", {}).items():
        assert how["condition"] == "service_healthy", needed


@pytest.mark.parametrize("name", SERVICES)
def test_containers_scale(name: str) -> None:
    """`--scale` would fail on a name or a port that only one container can have."""
    assert "container_name" not in SERVICES[name]
    assert "hostname" not in SERVICES[name]
    if name in OURS and name != "simulator":
        assert "ports" not in SERVICES[name]


def test_only_this_machine_can_connect() -> None:
    """Anybody in the network could read the dashboards or write to the services."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-(\d+)\}:\1", port), port


def test_redis_is_reached_from_inside_only() -> None:
    """Redis, whose passwords have defaults, could be reached from outside."""
    assert COMPOSE["networks"]["backplane"]["internal"] is True
    assert SERVICES["redis"]["networks"] == ["backplane"]
    assert "ports" not in SERVICES["redis"]


def test_pages_are_reached_through_the_gateway_only() -> None:
    """Whoever is in the outer network could pass for any address."""
    assert COMPOSE["networks"]["front"]["internal"] is True
    members = {name for name, service in SERVICES.items() if "front" in service["networks"]}
    assert members == {"chat", "wisdom", "viewer", "gateway"}
    for name in ("chat", "wisdom", "viewer"):
        assert "edge" not in SERVICES[name]["networks"]
    for name in ("chat", "wisdom"):
        assert SERVICES[name]["environment"][f"{name.upper()}_PROXIES"] == "gateway"


def test_nothing_makes_compose_stop_redis_first() -> None:
    """`docker compose up` after a change would stop Redis under services that hold messages."""
    for name in OURS:
        assert "redis" not in SERVICES[name].get("depends_on", {}), name


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_of_a_known_version(name: str) -> None:
    """The stack would be another one tomorrow."""
    image = SERVICES[name]["image"]
    assert name in OURS or re.search(r":v?\d+\.\d+", image)


def test_two_checkouts_are_two_projects() -> None:
    """One would take over the other's containers and volumes, and replace its image."""
    assert "name" not in COMPOSE
    assert not [volume for volume in COMPOSE["volumes"].values() if volume]
    assert len(OURS) == 7


def test_the_image_is_made_once_and_by_every_up() -> None:
    """After a pull the old code would run on; or each `up` would make containers anew."""
    (builder,) = (name for name in OURS if "build" in SERVICES[name])
    assert SERVICES[builder]["pull_policy"] == "build"
    assert {SERVICES[name]["pull_policy"] for name in OURS if name != builder} == {"never"}


def test_what_is_mounted_exists() -> None:
    """The engine would mount an empty directory in its place."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _ = mount(volume)
            here = source.startswith("./")
            known = (ROOT / source).exists() if here else source in COMPOSE["volumes"]
            assert known, (name, volume)


def test_a_container_is_told_of_the_file_that_is_mounted() -> None:
    """A user's own quotes would be mounted where nobody reads them."""
    (volume,) = SERVICES["wisdom"]["volumes"]
    assert volume["source"].startswith("${WISDOM_QUOTES:-")
    assert SERVICES["wisdom"]["environment"]["WISDOM_QUOTES"] == volume["target"]


def test_grafana_opens_on_a_dashboard_and_lets_nobody_in() -> None:
    """Grafana would open on a login form, or let anybody in who knows its first password."""
    environment = SERVICES["grafana"]["environment"]
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / "grafana" / "dashboards" / home.name).is_file()
    assert f"./grafana/dashboards:{home.parent}:ro" in SERVICES["grafana"]["volumes"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


def test_the_image_runs_as_nobody() -> None:
    """The services would run as root, or an orchestrator could not tell that they do not."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"(?m)^USER [1-9]\d*:[1-9]\d*$", last)
    assert "-perm /6000 -exec chmod a-s" in last  # nor become it
    assert "pip install" not in last


def test_the_image_holds_what_was_locked() -> None:
    """The image would hold packages that nobody had checked."""
    assert "--require-hashes" in DOCKERFILE
    assert "requirements/runtime.txt" in DOCKERFILE


@pytest.mark.parametrize("service", OURS)
def test_the_image_holds_every_service(service: str) -> None:
    """A service would not start, or would compile itself anew at each start."""
    assert f"COPY {service} {service}\n" in DOCKERFILE
    assert re.search(rf"for service in [a-z ]*\b{service}\b", DOCKERFILE)
    assert f"!{service}\n" in (ROOT / ".dockerignore").read_text()
    assert SERVICES[service]["command"] == service


def test_the_image_tells_its_version() -> None:
    """Nobody could tell what an image holds; or two places would tell two versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    assert f'org.opencontainers.image.version="{VERSION}"' in DOCKERFILE
    assert re.search(rf"(?m)^## {re.escape(VERSION)}\b", (ROOT / "CHANGELOG.md").read_text())


def test_the_build_covers_what_the_image_is_made_of() -> None:
    """Changed code would look like the one before."""
    copied = re.findall(r"(?m)^COPY ([a-z]+) \1$", DOCKERFILE)
    assert sorted(copied) == sorted(PACKAGES)


def test_the_gateway_asks_whom_its_container_asks() -> None:
    """Under Podman, whose name server is another than Docker's, nobody would be reached."""
    config = SERVICES["gateway"]["environment"]["CONFIG"]
    assert "parse-resolv-conf" in config
    assert "127.0.0.11:" not in config


def test_passwords_of_chance(tmp_path: Path) -> None:
    """Whoever has read the Compose file would know all passwords; or the user's own be replaced."""
    for name in ("Makefile", "docker-compose.yml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    env = tmp_path / ".env"
    env.write_text("CHAT_PORT=4001\nREDIS_PASSWORD_CHAT=mine")
    for _ in range(2):
        subprocess.run(["make", "-s", "passwords"], cwd=tmp_path, check=True)
    assert env.stat().st_mode & 0o077 == 0
    found = dict(line.split("=") for line in env.read_text().splitlines())
    assert found.pop("CHAT_PORT") == "4001"
    assert found["REDIS_PASSWORD_CHAT"] == "mine"
    wanted = {name for name in offered() if name.startswith("REDIS_PASSWORD_")}
    assert set(found) == wanted - {"REDIS_PASSWORD_ADMIN"}
    assert len(set(found.values())) == len(found)
    assert all(re.fullmatch("[0-9a-f]{48}|mine", password) for password in found.values())
