"""What a block is, and which blocks are open: plain state that knows no event loop."""

from ._block import Block
from ._frames import frames, held_by
from ._open_blocks import OpenBlocks

__all__ = ["Block", "OpenBlocks", "frames", "held_by"]
