"""A plan is whole or refused: what does not fit is told in one line that names the key, the value and the place."""

import pytest
from pydantic import ValidationError

from db.errors import LetheError
from pipelines.config import Plan, checked_plan, load_plan

DEFAULTS = Plan()


@pytest.fixture
def planned(tmp_path):
    """Writes `lethe.toml` and loads the plan, with options over it."""

    def load(toml=None, **options):
        if toml is not None:
            (tmp_path / "lethe.toml").write_bytes(toml if isinstance(toml, bytes) else toml.encode())
        return load_plan(tmp_path, **options)

    return load


def refusal(load, *args, **options):
    """What a refused plan says: one line."""
    with pytest.raises(LetheError) as told:
        load(*args, **options)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    return str(told.value)


def test_options_stand_over_the_file_and_the_file_over_the_defaults(planned):
    assert planned() == DEFAULTS
    assert planned("# nothing\n") == DEFAULTS
    toml = "backbone = 'ease'\nlength = 5\nmax_shift = 3\n"
    assert planned(toml) == DEFAULTS.model_copy(update={"backbone": "ease", "length": 5, "max_shift": 3})
    assert planned(toml, length=7, backbone=None).length == 7
    assert planned(toml, length=7, backbone=None).backbone == "ease"


@pytest.mark.parametrize("toml", ["backbones = 'ease'", "[plan]\ntop = 3", "weight = 0.3", "Top = 3"])
def test_a_key_that_is_no_setting_is_named_with_all_that_are(planned, tmp_path, toml):
    key = toml.strip("[").split("]")[0].split(" ")[0]
    told = refusal(planned, toml)
    assert told.startswith(f"{tmp_path / 'lethe.toml'}: {key} is no setting; known: ")
    assert told.endswith(", ".join(Plan.model_fields))


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("backbone", "'svd'", "is 'svd': input should be 'lightgcn', 'bpr', 'ease', 'popularity' or 'semantic-ids'"),
        ("filter", "'Recent'", "is 'Recent': input should be 'preference'"),
        ("retrieve", "''", "is '': input should be 'backbone', 'text' or 'hybrid'"),
        ("scorer", "false", "is False: "),
        ("top", "0", "is 0: input should be greater than or equal to 1"),
        ("top", "'ten'", "is 'ten': input should be a valid integer"),
        ("top", "'10'", "is '10': input should be a valid integer"),
        ("top", "true", "is True: input should be a valid integer"),
        ("top", "10.0", "is 10.0: input should be a valid integer"),
        ("candidates", "1001", "is 1001: input should be less than or equal to 1000"),
        ("length", "-1", "is -1: input should be greater than or equal to 0"),
        ("length", "nan", "is nan: "),
        ("seed", "2147483648", "is 2147483648: input should be less than 2147483648"),
        ("seed", "1e400", "is inf: "),
        ("max_shift", "-1", "is -1: "),
        ("tuning_people", "9", "is 9: input should be greater than or equal to 10"),
        ("chunk", "[1, 2]", "is [1, 2]: "),
        ("model", "''", "is '': string should have at least 1 character"),
        ("device", "3", "is 3: input should be a valid string"),
    ],
)
def test_a_value_that_does_not_fit_is_shown_with_what_would(planned, tmp_path, key, value, shown):
    assert refusal(planned, f"{key} = {value}").startswith(f"{tmp_path / 'lethe.toml'}: {key} {shown}")


def test_a_long_value_is_cut(planned):
    assert "x" * 59 + ": input should be" in refusal(planned, f"backbone = '{'x' * 5000}'")


@pytest.mark.parametrize(
    "toml", ["top = ", "top = 3\ntop = 4", "[plan", "top: 3", "top = 'ten", b"\xff\xfe", b"model = '\xe9'", b"\x00"]
)
def test_a_file_that_is_not_toml_is_named(planned, tmp_path, toml):
    assert refusal(planned, toml).startswith(f"{tmp_path / 'lethe.toml'} is not TOML: ")


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"top": 0}, "--top is 0: "),
        ({"backbone": "svd"}, "--backbone is 'svd': "),
        ({"tuning_people": 3}, "--tuning-people is 3: "),
        ({"nonsense": 3}, "--nonsense is no setting; known: "),
    ],
)
def test_an_option_is_named_as_it_is_typed_also_where_the_file_has_a_good_value(planned, options, start):
    assert refusal(planned, "top = 5\nbackbone = 'ease'", **options).startswith(start)


def test_a_good_option_stands_over_a_bad_value_of_the_file(planned):
    assert planned("top = 0", top=5).top == 5


@pytest.mark.parametrize("given", [{"top": 60}, {"candidates": 9}])
def test_a_list_cannot_be_longer_than_its_candidates(planned, given):
    assert "raise --candidates" in refusal(planned, **given)
    assert planned(top=50, candidates=50).top == 50


def test_the_place_of_stored_values_is_told(planned):
    told = refusal(checked_plan, {"length": -3}, "the trained set")
    assert told.startswith("the trained set: length is -3: ")


def test_what_was_stored_makes_the_same_plan_again_and_a_plan_stays_as_it_is():
    plan = Plan(backbone="bpr", max_shift=2, model="Qwen/Qwen2.5-0.5B")
    assert checked_plan(plan.model_dump(), "stored") == plan
    with pytest.raises(ValidationError, match="frozen"):
        plan.top = 3
