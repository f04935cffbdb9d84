"""Generates the gRPC code: `python -m tests.support.protos DIRECTORY` writes DIRECTORY/protos/*_pb2*."""

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
PROTOS = tuple(f"protos/{path.name}" for path in sorted((ROOT / "protos").glob("*.proto")))


def generate(directory: Path) -> None:
    """Generate messages, services and their types. Raises RuntimeError if protoc refuses a file."""
    beside = Path(sys.executable).parent
    plugins = [f"--plugin={beside / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}_out={directory}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    # From the root, so that the generated imports read `from protos import ...`.
    well_known = files("grpc_tools").joinpath("_proto")
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *plugins, *outputs, *PROTOS]) != 0:
        raise RuntimeError("protoc failed")


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
