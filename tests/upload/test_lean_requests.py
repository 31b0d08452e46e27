"""requests is loaded without what guesses encodings, and everybody else can still have that."""

import subprocess
import sys


def test_what_guesses_encodings_is_not_loaded_and_can_be_had_all_the_same() -> None:
    program = (
        "import sys, kei.upload.http\n"
        "print([name for name in sys.modules if name.startswith('charset_normalizer')])\n"
        "import charset_normalizer, requests\n"
        "answer = requests.Response()\n"
        "answer._content = b'OK'\n"
        "print(answer.text)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    assert subprocess.check_output(command, text=True).splitlines() == ["[]", "OK"]
