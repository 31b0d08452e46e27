"""What the command line says of arguments that it does not take."""

import pytest

from kei.cli import EXIT_USAGE, main

SECRET = "0123456789AB"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulate", "--link", "x", "--broute-pdw", SECRET], "--broute-pdw"),
        (["simulate", "--link", "x", f"--broute-pdw={SECRET}"], "--broute-pdw"),
        (["simulate", "--link", "x", f"--broute={SECRET}"], "--broute could match --broute-id"),
        (["simulate", "--link", "x", "--seed", "1", SECRET], "unrecognized arguments"),
        (["--broute-pwd", SECRET, "simulate", "--link", "x"], "invalid choice (choose from"),
        (["check", f"-p{SECRET}"], "-p;"),
    ],
)
def test_a_secret_behind_a_mistyped_option_is_not_repeated(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    told = capsys.readouterr()
    assert ended.value.code == EXIT_USAGE
    assert said in told.err
    assert told.err.count("\n") == 1
    assert SECRET not in told.err + told.out


def test_every_unknown_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["status", "--jason", "--verbose=3"])
    said = "kei status: unrecognized arguments: --jason --verbose; try kei status --help\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("command", [["check"], ["status"], ["dead-letters"]])
def test_a_file_name_cannot_steer_the_terminal(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*command, "--jobs", "/tmp/\x1b[2J\x9b1m\n.toml"])
    said = capsys.readouterr().err
    assert r"/tmp/\x1b[2J\x9b1m\n.toml" in said
    assert said.rstrip("\n").isprintable()
