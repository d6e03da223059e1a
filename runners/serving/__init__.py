"""The model endpoint: `registry serve TARGET` answers over HTTP with the artifact that the target has deployed.

Bytes are served only after a private copy of them hashed to the deployment's digest. A promotion or a rollback swaps
the model between two batches; a new one that cannot be served leaves the old one answering and `/health` failing.
"""
