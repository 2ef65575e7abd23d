"""Every plug-in by name, a line each."""

from __future__ import annotations

from typing import Any

from crossrec.errors import InputError, nearest
from crossrec.plugins.base import Plugin
from crossrec.plugins.pdrec import PDRec

PLUGINS: dict[str, type[Plugin]] = {plugin.name: plugin for plugin in (PDRec,)}


def find(name: str) -> type[Plugin]:
    """The plug-in class of this name. Raises InputError for an unknown one."""
    if name not in PLUGINS:
        raise InputError(f"There is no plug-in {name!r}.{nearest(name, PLUGINS)}")
    return PLUGINS[name]


def make(plugin: str | Plugin | type[Plugin], **settings: Any) -> Plugin:
    """The plug-in of this name or class, or the plug-in itself."""
    if isinstance(plugin, Plugin):
        return plugin
    return (find(plugin) if isinstance(plugin, str) else plugin)(**settings)
