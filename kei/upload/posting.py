"""The POSTs to one target: what is the same in all of them, and what is counted."""

import gzip

from kei.core.clock import Clock
from kei.settings.upload import Compress, UploadTarget
from kei.upload.batching import Batch, FormatSpec, with_query
from kei.upload.http import Answer, Http, excerpt, masker_of
from kei.upload.traffic import Traffic


class Poster:
    """Posts batches to a target. Used by one thread.

    Args:
        target: where to.
        spec: of its format.
        http: used by this poster alone.
        traffic: counts.
        clock: monotonic time.

    Attributes:
        traffic: that of the target so far.
        next_at: when the next POST may begin, by the monotonic clock.
    """

    def __init__(
        self, target: UploadTarget, spec: FormatSpec, http: Http, traffic: Traffic, clock: Clock
    ) -> None:
        self._target = target
        self._url = with_query(target.target_url, spec.query)
        self._compresses = spec.compressible and target.compress is Compress.GZIP
        self._masker = masker_of(target)
        self._http = http
        self.traffic = traffic
        self._clock = clock
        self.next_at = clock.monotonic()

    def post(self, batch: Batch) -> Answer:
        """Post a batch; PostFailed and Stopping as `Http.post`."""
        target = self._target
        headers = dict(batch.headers)
        body = batch.body
        if self._compresses:
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers.update((name, text.reveal()) for name, text in target.headers)
        self.next_at = self._clock.monotonic() + target.min_interval_s
        before = self._http.sent_bytes
        try:
            return self._http.post(self._url, body, headers, target.timeout_s)
        finally:
            self.traffic.add(self._http.sent_bytes - before)

    def said(self, answer: Answer) -> tuple[str, str]:
        """Return why an answer is no success: its cause, and the rest of what is known."""
        detail = excerpt(answer.body, self._masker)
        if answer.elsewhere is not None:
            to = excerpt(answer.elsewhere.encode(), self._masker)
            detail = f"redirected to {to}, which is not followed; is target_url right?"
        return f"status {answer.status}", detail
