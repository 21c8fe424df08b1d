"""How a parallel run shares the tests out.

A worker gets whole files: a fixture of a module is then made once, and some files go on in order,
where later tests kill what earlier ones used. Files that share a fixture which takes long to make
go to one worker. Tests with processes begin first, so that the many short ones fill up the end.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final = ("tests/contracts/", "tests/docs/")
"""Folders whose files share what takes long to make: a PostgreSQL server, a demo after its tour."""


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Hands out files, in the order in which the workers collected them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)
