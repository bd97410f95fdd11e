"""Run the simulator: `python -m simulator`."""

from chassis import lifecycle

from .service import serve
from .settings import Settings

if __name__ == "__main__":
    lifecycle.run("simulator", Settings, serve)
