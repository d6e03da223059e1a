"""Commands that run elsewhere and are recorded here: on a host over SSH, on a Ray cluster.

A launcher is found through the entry points `holdfast.launchers` and is called as
`launch(address, declared, place, say, options)`; it returns a `registry.wrapper.Outcome`.
"""
