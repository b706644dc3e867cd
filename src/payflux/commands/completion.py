"""`payflux completion`: a script that teaches a shell the commands and options."""

import sys
from collections.abc import Callable
from typing import Annotated, Literal

from cyclopts import App, Parameter

Shell = Literal["bash", "zsh", "fish"]


def completion_of(app: App) -> Callable[[Shell], int]:
    """The command for an application."""

    def completion(shell: Annotated[Shell, Parameter(help="The shell to write it for.")], /) -> int:
        """Print a completion script.

        For example:

            payflux completion bash > ~/.local/share/bash-completion/completions/payflux
            payflux completion zsh > "${fpath[1]}/_payflux"
            payflux completion fish > ~/.config/fish/completions/payflux.fish

        Exit codes: 0 done, 2 wrong usage.
        """
        sys.stdout.write(app.generate_completion(shell=shell))
        return 0

    return completion
