"""The plugin as a stranger uses it: in a run of pytest of its own, with the example of the docs."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "sandbox-tests.md"
pytest_plugins = ["pytester"]
CONFTEST = 'pytest_plugins = ["vextrus_payments_sandbox.pytest_plugin"]\n'


@pytest.fixture
def stranger(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    return pytester


def blocks() -> list[str]:
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert CONFTEST.strip() in found[0]
    return found[1:]


def run(stranger: pytest.Pytester, code: str) -> pytest.RunResult:
    stranger.makepyfile(test_theirs=code)
    return stranger.runpytest_subprocess("-p", "no:cacheprovider", "-q")


@pytest.mark.parametrize("number", range(3))
def test_the_examples_of_the_docs_pass(stranger: pytest.Pytester, number: int) -> None:
    code = blocks()[number]
    result = run(stranger, code)
    result.assert_outcomes(passed=len(re.findall(r"^(?:async )?def test_", code, re.MULTILINE)))


def test_there_is_no_other_example() -> None:
    assert len(blocks()) == 3


def test_each_test_has_a_sandbox_of_its_own(stranger: pytest.Pytester) -> None:
    result = run(
        stranger,
        "import pytest\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "async def test_alone(payment_sandbox, number):\n"
        "    assert payment_sandbox.books()['payments'] == []\n"
        "    (made,) = await payment_sandbox.seed('payments: [{amount: 5}]')\n"
        "    assert payment_sandbox.payment(made['reference'])['captured'] == '5.00'\n",
    )
    result.assert_outcomes(passed=2)


def test_books_that_do_not_add_up_fail_the_test(stranger: pytest.Pytester) -> None:
    result = run(
        stranger,
        "async def test_cheats(payment_sandbox):\n"
        "    (made,) = await payment_sandbox.seed({'payments': [{'amount': '5'}]})\n"
        "    payment_sandbox.world.gateways['bkash'].rules.payments[made['reference']].amount_minor = 700\n",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*books do not add up*"])


def test_who_does_not_name_it_has_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_clean():\n    assert not any('vextrus_payments_sandbox' in n for n in sys.modules)\n"
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_who_names_it_and_asks_for_nothing_pays_next_to_nothing(stranger: pytest.Pytester) -> None:
    result = run(
        stranger,
        "import sys\ndef test_light():\n    assert 'starlette' not in sys.modules, 'loaded for nobody'\n",
    )
    result.assert_outcomes(passed=1)
