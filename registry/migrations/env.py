"""Alembic's entry: runs the migrations on the connection that `upgrade` opened."""

from alembic import context
from sqlmodel import SQLModel

import registry.tables  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
