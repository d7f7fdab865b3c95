"""`python -m napari_pathseg.cli`: the same as `pathseg`."""

from napari_pathseg.cli.main import main

main(prog_name="pathseg")
