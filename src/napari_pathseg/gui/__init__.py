"""The desk: the only package that knows napari. Qt lives in `widgets` and `worker` alone."""
