"""A process that records decisions until it is killed: ``python -m tests.support.journalling DIRECTORY``.

Each decision's id is printed as soon as its record was acknowledged, so that a test knows what must not be lost.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


async def main(root: Path) -> None:
    from tests.unit.trust.policies import HEALTHY, client_device, taken
    from troth.kit.ids import new_id
    from troth.trust.connecting.journal import Journal
    from troth.trust.decision.judge import judge
    from troth.trust.model import Moment

    journal = Journal.open(root, segment=16 * 1024)
    policy = client_device()

    async def one() -> None:
        from msgspec import structs

        while True:
            snapshot = structs.replace(taken(HEALTHY, moment=Moment.CONNECT, asked="client-device"), id=new_id())
            await journal.record([(judge(policy, snapshot), snapshot)], actor="application:test")
            sys.stdout.write(f"{snapshot.id}\n")
            sys.stdout.flush()

    await asyncio.gather(*(one() for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
