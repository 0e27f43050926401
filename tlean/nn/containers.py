"""`ModuleList` and `ModuleDict`: layers and parameters that a model keeps in a list or by name."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from tlean.errors import IndexRangeError, OptionError
from tlean.optim.param_list import listed
from tlean.param import Param

from .basic import entry
from .module import Module


def _part(owner: Any, value: Any) -> Any:
    if not isinstance(value, Module | Param):
        raise OptionError(f"{type(owner).__name__}: holds Modules and Params, got {type(value).__name__}")
    return value


class ModuleList(Module):
    """A list whose layers and parameters belong to the model that has it. It has no `forward`: the model calls its layers.

        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    Args:
        items: `Module`s and `Param`s, other lists of them too.

    Raises: OptionError for anything else.
    """

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self.items: list[Any] = []
        self.extend(items)

    def members(self) -> Iterator[tuple[str, Any]]:
        """The entries, named by their numbers."""
        return ((str(k), value) for k, value in enumerate(self.items))

    def append(self, value: Any) -> ModuleList:
        """Add one at the end; returns the list.

        Args:
            value: a `Module` or `Param`.

        Raises: OptionError for anything else.
        """
        self.items.append(_part(self, value))
        return self

    def extend(self, values: Iterable[Any]) -> ModuleList:
        """Add some at the end; returns the list.

        Args:
            values: `Module`s and `Param`s.

        Raises: OptionError for anything else.
        """
        if (isinstance(values, Module) and not isinstance(values, ModuleList)) or not isinstance(values, Iterable):
            raise OptionError(f"{type(self).__name__}: an iterable of Modules and Params, got {type(values).__name__}")
        self.items += [_part(self, value) for value in listed(f"{type(self).__name__}: the entries", values)]
        return self

    def insert(self, k: int, value: Any) -> None:
        """Add one before entry k.

        Args:
            k: a position, as for a list.
            value: a `Module` or `Param`.

        Raises: OptionError for anything else.
        """
        entry(self, [], slice(k, k))
        self.items.insert(k, _part(self, value))

    def __getitem__(self, k: Any) -> Any:
        found = entry(self, self.items, k)
        return ModuleList(found) if isinstance(k, slice) else found

    def __setitem__(self, k: int, value: Any) -> None:
        if isinstance(k, slice):
            raise OptionError(f"{type(self).__name__}: one entry is set at a time")
        entry(self, self.items, k)
        self.items[k] = _part(self, value)

    def __delitem__(self, k: Any) -> None:
        entry(self, self.items, k)
        del self.items[k]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class ModuleDict(Module):
    """A dict whose layers and parameters belong to the model that has it. It has no `forward`: the model calls its layers.

        self.heads = nn.ModuleDict({"age": nn.Linear(8, 1), "kind": nn.Linear(8, 5)})

    Args:
        items: `Module`s and `Param`s by name; a name is a text without a dot.

    Raises: OptionError for anything else.
    """

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self.named: dict[str, Any] = {}
        self.update({} if items is None else items)

    def members(self) -> Iterator[tuple[str, Any]]:
        """The entries by their names."""
        return iter(list(self.named.items()))

    def update(self, items: Mapping[str, Any]) -> None:
        """Set some entries.

        Args:
            items: name → `Module` or `Param`.

        Raises: OptionError for other entries or no mapping.
        """
        if not isinstance(items, Mapping | ModuleDict):
            raise OptionError(f"{type(self).__name__}: a mapping of names to Modules and Params, got {type(items).__name__}")
        for name, value in items.items():
            self[name] = value

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise IndexRangeError(f"{type(self).__name__}: there is no entry {name!r}; there are {', '.join(self.named) or 'none'}")
        return self.named[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise OptionError(f"{type(self).__name__}: a name must be a text without a dot, got {name!r}")
        self.named[name] = _part(self, value)

    def __delitem__(self, name: str) -> None:
        self[name]
        del self.named[name]

    def pop(self, name: str) -> Any:
        """Take an entry out.

        Args:
            name: of the entry.

        Returns: the entry.
        Raises: IndexRangeError if there is none.
        """
        found = self[name]
        del self.named[name]
        return found

    def keys(self) -> KeysView[str]:
        """The names."""
        return self.named.keys()

    def values(self) -> ValuesView[Any]:
        """The layers and parameters."""
        return self.named.values()

    def items(self) -> ItemsView[str, Any]:
        """Both."""
        return self.named.items()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.named

    def __len__(self) -> int:
        return len(self.named)

    def __iter__(self) -> Iterator[str]:
        return iter(self.named)
