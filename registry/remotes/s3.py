"""An S3-compatible bucket (AWS, R2, B2, MinIO, GCS by HMAC). Stored checksums are not believed: bytes are read back.

An object appears whole or not at all: small ones in one request, large ones in parts that are put together only when
the whole stream had the right digest. Parts of an interrupted upload are kept and used again.
"""

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from registry import clock
from registry.errors import HoldfastError, NotFoundError, UnreachableError, UsageError
from registry.remotes.base import (
    MARKER_NAME,
    SUMS_NAME,
    Found,
    Meter,
    PlaceFacts,
    Put,
    Reading,
    Source,
    Store,
    Stream,
    blob_key,
)
from registry.remotes.disk import STALE_TEMP_S, digest_blocks
from registry.remotes.folder import other_bytes

PART_BYTES = 16 << 20
MOST_PARTS = 10_000
PARALLEL_PARTS = 4
PARALLEL_READS = 4
READ_TRIES = 2
CONNECT_TIMEOUT_S = 10.0
SILENCE_S = 30.0
LEAST_BYTES_S = 256.0
"""An answer that trickles more slowly than this, for as long as silence is borne, is no answer."""
REQUEST_TRIES = 3


class S3Store(Store):
    """A prefix of a bucket: `s3://BUCKET/PREFIX?endpoint=URL&region=R&profile=P`; credentials as boto3 finds them."""

    kind: ClassVar[str] = "s3"
    read_level: ClassVar[int] = 4

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = set(options) - {"endpoint", "region", "profile"}
        if parts.scheme != "s3" or not parts.netloc or unknown:
            hint = "write s3://BUCKET/PREFIX?endpoint=URL&region=R&profile=P"
            raise UsageError(f"not an S3 place: {url!r}", hint=hint)
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._endpoint = options.get("endpoint")
        self._client = _client(self._endpoint, options.get("region"), options.get("profile"))

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what boto3 raises into what a person can act on."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as error:
            raise self._explain(error) from error
        except (BotoCoreError, HTTPError) as error:
            raise UnreachableError(f"{self._bucket}: {error}", reason_code=15) from error

    def _explain(self, error: Any) -> HoldfastError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        hint = "are the credentials right, and may they read and write there?" if code in _DENIED else ""
        if code == "NoSuchBucket":
            hint = "make the bucket first"
        return UnreachableError(f"{self._bucket}: {code or error}", hint=hint, reason_code=15)

    def facts(self) -> PlaceFacts:
        """Return the bucket as the disk that it is: the same by whatever address."""
        endpoint = str(self._client.meta.endpoint_url).rstrip("/")
        return PlaceFacts(filesystem=f"s3:{endpoint}/{self._bucket}", medium="object")

    def identity(self) -> dict[str, Any] | None:
        """Return the marker."""
        content = self.read_small(MARKER_NAME)
        if content is None:
            return None
        try:
            marker = json.loads(content)
            if isinstance(marker, dict) and isinstance(marker.get("id"), str):
                return marker
        except ValueError:
            pass
        raise UnreachableError(f"{self.url}: its {MARKER_NAME} cannot be read", reason_code=15)

    def stamp(self, marker: dict[str, Any]) -> None:
        """Write the marker of a new place."""
        from botocore.exceptions import ClientError

        with self._told():
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._name(MARKER_NAME), Body=json.dumps(marker).encode(), IfNoneMatch="*"
                )
            except ClientError as error:
                if _status(error) in (409, 412):
                    raise FileExistsError(MARKER_NAME) from None
                raise

    # looking

    def _head(self, key: str) -> Found | None:
        from botocore.exceptions import ClientError

        with self._told():
            try:
                return _found(self._client.head_object(Bucket=self._bucket, Key=self._name(key)))
            except ClientError as error:
                if _status(error) == 404:
                    return None
                raise

    def _stat_all(self, keys: Sequence[str]) -> dict[str, Found]:
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            found = list(pool.map(self._head, keys))
        return {key: there for key, there in zip(keys, found, strict=True) if there is not None}

    def keys(self, prefix: str) -> list[str]:
        """Return every key below a prefix."""
        skip = len(self._prefix) + 1 if self._prefix else 0
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._name(prefix) + "/"
            )
            return sorted(item["Key"][skip:] for page in pages for item in page.get("Contents", ()))

    def _readings(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            yield from pool.map(lambda key: self._read(key, meter), keys)

    def _read(self, key: str, meter: Meter) -> Reading:
        """Read one object whole; a broken connection is tried again, wrong bytes are not."""
        for left in reversed(range(READ_TRIES)):
            try:
                return self._read_once(key, meter)
            except UnreachableError:
                if not left:
                    raise
        raise AssertionError

    def _read_once(self, key: str, meter: Meter) -> Reading:
        try:
            with self._get(key) as answer:
                before, body = _found(answer), _Body(answer)

                def readinto(block: memoryview) -> int:
                    n_read = body.readinto(block)
                    meter.advance(n_read)
                    return n_read

                digest, size = digest_blocks(readinto, before.size_bytes)
        except NotFoundError:
            return Reading(key, "missing")
        after = self._head(key)
        return Reading(key, "read", digest, size, before.token, after.token if after else "gone")

    @contextmanager
    def _get(self, key: str) -> Iterator[Any]:
        """Yield the answer to a request for an object. Raises NotFoundError, UnreachableError."""
        from botocore.exceptions import ClientError

        with self._told():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code"))
                if _status(error) == 404 and code in ("NoSuchKey", "404"):
                    raise NotFoundError(f"{self.url} does not hold {key}", reason_code=14) from None
                raise
            try:
                yield answer
            finally:
                answer["Body"].close()

    @contextmanager
    def open(self, key: str) -> Iterator[Stream]:
        """Open an object for reading."""
        with self._get(key) as answer:
            yield _Body(answer)

    # changing

    def put(self, sources: Sequence[Source], meter: Meter) -> list[Put]:
        """Upload blobs one after another; the parts of a large one at the same time."""
        puts = []
        for source in sources:
            started_at, error = clock.now(), None
            try:
                self._put(source, meter)
            except UnreachableError:
                raise
            except HoldfastError as problem:
                error = problem
            puts.append(Put(source.digest, started_at, clock.now(), error, source.size_bytes))
        return puts

    def _put(self, source: Source, meter: Meter) -> None:
        with source.open() as stream:
            if source.size_bytes > PART_BYTES:
                self._put_parts(source, stream, meter)
                return
            content = _read_up_to(stream, source.size_bytes + 1)
            if len(content) != source.size_bytes or hashlib.sha256(content).hexdigest() != source.digest:
                raise other_bytes(source)
            meter.advance(len(content))
            checksum = base64.b64encode(bytes.fromhex(source.digest)).decode()
        with self._told():
            self._client.put_object(
                Bucket=self._bucket, Key=self._name(blob_key(source.digest)), Body=content, ChecksumSHA256=checksum
            )

    def _put_parts(self, source: Source, stream: Stream, meter: Meter) -> None:
        """Upload a large blob in parts, using those that an interrupted upload left."""
        name = self._name(blob_key(source.digest))
        with self._told():
            upload, held = self._begin_upload(name)
            whole = hashlib.sha256()
            parts: list[Future[dict[str, Any]]] = []
            part_bytes = max(PART_BYTES, -(-source.size_bytes // MOST_PARTS))
            n_bytes = 0
            with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
                while content := _read_up_to(stream, part_bytes):
                    whole.update(content)
                    n_bytes += len(content)
                    if len(parts) >= 2 * PARALLEL_PARTS:
                        parts[len(parts) - 2 * PARALLEL_PARTS].result()
                    parts.append(pool.submit(self._put_part, name, upload, len(parts) + 1, content, held, meter))
                done = [part.result() for part in parts]
            if whole.hexdigest() != source.digest or n_bytes != source.size_bytes:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=name, UploadId=upload)
                raise other_bytes(source)
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": done}
            )

    def _begin_upload(self, name: str) -> tuple[str, dict[int, dict[str, Any]]]:
        """Return the upload to go on with and the parts it has; a new one when there is none."""
        listed = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=name).get("Uploads", ())
        mine = sorted((item for item in listed if item["Key"] == name), key=lambda item: item["Initiated"])
        if not mine:
            return str(self._client.create_multipart_upload(Bucket=self._bucket, Key=name)["UploadId"]), {}
        upload = str(mine[-1]["UploadId"])
        pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=name, UploadId=upload)
        return upload, {part["PartNumber"]: part for page in pages for part in page.get("Parts", ())}

    def _put_part(
        self, name: str, upload: str, number: int, content: bytes, held: dict[int, dict[str, Any]], meter: Meter
    ) -> dict[str, Any]:
        """Upload one part, unless the same bytes are there already by the service's own ETag (md5 of the part)."""
        meter.advance(len(content))
        there = held.get(number)
        if there and there["ETag"].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest():
            return {"PartNumber": number, "ETag": there["ETag"]}
        answer = self._client.upload_part(
            Bucket=self._bucket, Key=name, UploadId=upload, PartNumber=number, Body=content
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def move(self, key: str, target: str) -> None:
        """Copy inside the service, then remove the old name."""
        if self._head(target) is not None:
            raise FileExistsError(target)
        with self._told():
            source = {"Bucket": self._bucket, "Key": self._name(key)}
            self._client.copy(source, self._bucket, self._name(target))
        self.remove(key)

    def remove(self, key: str) -> None:
        """Remove an object."""
        with self._told():
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def read_small(self, key: str) -> bytes | None:
        """Return a small object."""
        try:
            with self._get(key) as answer:
                return bytes(answer["Body"].read())
        except NotFoundError:
            return None

    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small object."""
        with self._told():
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=content)

    def write_sums(self) -> int:
        """Write SHA256SUMS anew."""
        keys = self.keys("blobs")
        self.write_small(SUMS_NAME, "".join(f"{key.rsplit('/', 1)[1]}  {key}\n" for key in keys).encode())
        return len(keys)

    def clean(self) -> int:
        """Abort uploads that nobody went on with."""
        n_aborted = 0
        with self._told():
            listed = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._name("blobs/"))
            for item in listed.get("Uploads", ()):
                if clock.now() - item["Initiated"].timestamp() > STALE_TEMP_S:
                    self._client.abort_multipart_upload(Bucket=self._bucket, Key=item["Key"], UploadId=item["UploadId"])
                    n_aborted += 1
        return n_aborted

    def nowhere(self) -> Store:
        """Return a bucket of a service that is not there."""
        return S3Store(f"s3://{self._bucket}/nowhere?endpoint=http://127.0.0.1:9&region=us-east-1")

    def close(self) -> None:
        """Give back connections."""
        with suppress(AttributeError):
            self._client.close()


_DENIED = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "Forbidden")


def _client(endpoint: str | None, region: str | None, profile: str | None) -> Any:
    """Return a boto3 client with bounded retries. Raises NotFoundError without boto3, UsageError for a bad profile."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise NotFoundError("S3 needs boto3", hint="pip install 'holdfast[s3]'", reason_code=23) from None
    config = Config(
        retries={"total_max_attempts": REQUEST_TRIES, "mode": "standard"},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=SILENCE_S,
        s3={"addressing_style": "path"} if endpoint else {},
        request_checksum_calculation="when_supported",
        response_checksum_validation="when_required",  # our own digest decides, and tells a wrong byte from no answer
    )
    try:
        session = boto3.session.Session(profile_name=profile, region_name=region)
        return session.client("s3", endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"S3: {error}") from None


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _found(answer: Any) -> Found:
    version, changed = answer.get("VersionId", ""), answer["LastModified"].timestamp()
    size = int(answer["ContentLength"])
    return Found(size, f"{answer['ETag']}:{version}:{changed}:{size}")


def _read_up_to(stream: Stream, size_bytes: int) -> bytes:
    """Return the next bytes of a stream, fewer only at its end."""
    content = bytearray(size_bytes)
    view, n_read = memoryview(content), 0
    while n_read < size_bytes and (n := stream.readinto(view[n_read:])):
        n_read += n
    return bytes(view[:n_read])


class _Body:
    """The body of an answer as a stream. One that is cut short, or only trickles, is no answer."""

    def __init__(self, answer: Any) -> None:
        body = answer["Body"]
        self._read_some = getattr(body._raw_stream, "read1", body.read)
        self._n_left = int(answer["ContentLength"])
        self._since, self._n_bytes = time.monotonic(), 0

    def readinto(self, block: memoryview) -> int:
        """Return the next bytes, as many as there are. Raises UnreachableError when they end early or trickle."""
        piece = self._read_some(len(block))
        block[: len(piece)] = piece
        self._n_left -= len(piece)
        self._n_bytes += len(piece)
        if not piece and self._n_left > 0:
            raise UnreachableError(f"the answer was cut off {self._n_left} bytes before its end", reason_code=15)
        waited_s = time.monotonic() - self._since
        if waited_s > SILENCE_S:
            if piece and self._n_bytes < LEAST_BYTES_S * waited_s:
                raise UnreachableError(f"only {self._n_bytes} bytes came in {waited_s:.0f} s", reason_code=15)
            self._since, self._n_bytes = time.monotonic(), 0
        return len(piece)
