"""The table `[tokens]` of lethe.toml: options over it, and a value that does not fit told in one line."""

from dataclasses import replace

import pytest

from db.errors import LetheError
from pipelines.concepts.token_plan import SERVED, TokenPlan, load_token_plan
from pipelines.config import load_plan
from unlearning.tokens.gates import Gates


def test_the_command_line_stands_over_the_file_and_the_file_over_the_defaults(tmp_path):
    assert load_token_plan(tmp_path) == TokenPlan()
    toml = (
        'top = 3\n[tokens]\nmethod = "npo"\n[tokens.settings]\nsteps = 7\nbeta = 0.5\n[tokens.gates]\nutility = 0.9\n'
    )
    (tmp_path / "lethe.toml").write_text(toml)
    expected = TokenPlan("npo", replace(SERVED, steps=7, beta=0.5), Gates(utility=0.9))
    assert load_token_plan(tmp_path) == expected
    assert load_token_plan(tmp_path, method="ga").method == "ga"
    assert load_plan(tmp_path).top == 3, "the table is no setting of a training"


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[tokens]\nstep = 3", ".step is no setting; known: method, settings, gates"),
        ("[tokens.settings]\nstep = 3", ".settings.step is no setting; known: steps, learning_rate"),
        ("[tokens.gates]\nleaks = 1", ".gates.leaks is no setting; known: exposure, utility, people"),
        ("[tokens]\nsettings = 3", ".settings is 3: give a table"),
        ("[tokens]\ngates = [1]", ".gates is [1]: give a table"),
        ("tokens = 'npo'", " is 'npo': give a table"),
        ("[tokens.settings]\nsteps = 0", ".settings.steps is 0: give 1 or more"),
        ("[tokens.settings]\nsteps = 1.5", ".settings.steps is 1.5: "),
        ("[tokens.settings]\nneighbours = 'five'", ".settings.neighbours is 'five': "),
        ("[tokens.settings]\nlearning_rate = 0.0", ".settings.learning_rate is 0.0: give a number above 0"),
        ("[tokens.settings]\noffset_rate = nan", ".settings.offset_rate is nan: give a number above 0"),
        ("[tokens.settings]\nforget = -1", ".settings.forget is -1.0: give 0 or a number above it"),
        ("[tokens.settings]\nsize = inf", ".settings.size is inf: give 0 or a number above it"),
        ("[tokens.settings]\ntemperature = 0.3", ".settings.temperature is 0.3: give at most first_temperature, 0.2"),
        ("[tokens.gates]\nutility = 1.2", ".gates.utility is 1.2: give a share from 0 to 1"),
        ("[tokens.gates]\nexposure = -0.1", ".gates.exposure is -0.1: give 0 or a number above it"),
        ("[tokens.gates]\npeople = 0", ".gates.people is 0: give 1 or more"),
    ],
)
def test_a_value_that_does_not_fit_is_named_at_its_place(tmp_path, toml, told):
    (tmp_path / "lethe.toml").write_text(toml)
    with pytest.raises(LetheError) as refused:
        load_token_plan(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'lethe.toml'}: tokens{told}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", ["magic", "trie-removal", "suppression"])
def test_a_method_that_leaves_no_ids_is_refused_wherever_it_is_named(tmp_path, method):
    with pytest.raises(LetheError, match=f"method {method} makes no ids to register: give tracer, "):
        load_token_plan(tmp_path, method=method)
    (tmp_path / "lethe.toml").write_text(f'[tokens]\nmethod = "{method}"')
    with pytest.raises(LetheError, match=f"method {method} makes no ids"):
        load_token_plan(tmp_path)
