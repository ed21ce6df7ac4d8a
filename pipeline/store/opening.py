"""Open the store that parameters or a command line name."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import StoreError
from pipeline.files.address import check_address
from pipeline.params import StoreParams
from pipeline.store.flow_store import FlowStore, create_store
from pipeline.store.local import LocalPlace
from pipeline.store.manifest import MANIFEST, read_manifest
from pipeline.store.place import DOCUMENT, Place


def open_store(params: StoreParams) -> FlowStore:
    """The store at ``store.url``, or at ``store.path`` where that is null.

    Raises:
        StoreError: nothing is there, it is not a flow store, or a newer program wrote it.
        StorageError: object storage does not answer.
    """
    return FlowStore(_place(params))


def open_or_create(params: StoreParams) -> FlowStore:
    """``open_store``; an empty store is made where there is none.

    Raises:
        StoreError: something else is there.
        StorageError: object storage does not answer.
    """
    return create_store(_place(params))


def store_exists(params: StoreParams) -> bool:
    """Whether anything is where the store should be."""
    return not _place(params).is_empty()


def found_anywhere(params: StoreParams) -> StoreParams:
    """The same store for a worker that runs in another folder: paths made absolute."""
    url = params.url
    if url is not None and "://" not in url:
        url = str(Path(url).resolve())
    return params.model_copy(update={"path": str(Path(params.path).resolve()), "url": url})


def open_named(name: str) -> tuple[FlowStore, Path | None]:
    """The store that a user names, and the folder of its manifest if that is how it was named.

    Args:
        name: a folder, a URL, or the folder of a remote store's manifest.

    Raises:
        StoreError: nothing is there, it is not a flow store, or the URL holds credentials.
        StorageError: object storage does not answer.
    """
    try:
        place = place_at(check_address(name))
    except ValueError as error:
        raise StoreError(f"the store's address {error}") from error
    if isinstance(place, LocalPlace) and (place.path / MANIFEST).is_file():
        return FlowStore(place_at(read_manifest(place.path).url)), place.path
    return FlowStore(place), None


def place_at(address: str) -> Place:
    """A folder for a path or a ``file://`` URL, object storage for all other URLs."""
    protocol, mark, rest = address.partition("://")
    if not mark:
        return LocalPlace(address)
    if protocol in ("file", "local"):
        return LocalPlace(rest)
    # fsspec takes a while to import, and few stores need it
    from pipeline.store.objects import ObjectPlace

    return ObjectPlace(address)


def _place(params: StoreParams) -> Place:
    folder = Path(params.path)
    if params.url is None:
        if (folder / MANIFEST).is_file():
            url = read_manifest(folder).url
            raise StoreError(f"{folder}: the rows of this store are at {url}; set store.url to that")
        return LocalPlace(folder)
    if (folder / DOCUMENT).exists():
        raise StoreError(
            f"{folder}: there is a flow store here, but store.url says that the rows are at {params.url}; "
            "give store.path another place, or move the store away"
        )
    return place_at(params.url)
