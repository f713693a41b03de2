"""Mabel's OpenFeature provider: the published OFREP provider, which can also say what happened."""

import logging
import queue
import threading
import uuid
from collections import OrderedDict

import requests
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.hook import Hook

logger = logging.getLogger("openfeature.mabel")

# Visitors whose receipts are remembered, flags of each, and events that wait to be sent.
MAX_VISITORS = 10_000
MAX_FLAGS = 100
MAX_WAITING = 1_000


class MabelProvider(OFREPProvider):
    """`track` rewards what the visitor was shown. It never blocks and never raises: what cannot be sent is logged."""

    def __init__(self, base_url, *, headers_factory=None, timeout=5.0):
        super().__init__(base_url, headers_factory=headers_factory, timeout=timeout)
        self._receipts = OrderedDict()
        self._lock = threading.Lock()
        self._waiting = queue.Queue(MAX_WAITING)
        self._sender = None

    def get_provider_hooks(self):
        return [_Remembering(self._remember)]

    def track(self, tracking_event_name, evaluation_context=None, tracking_event_details=None):
        visitor = evaluation_context.targeting_key if evaluation_context else None
        if not visitor:
            logger.warning("%r was not tracked: the evaluation context has no targeting key", tracking_event_name)
            return
        event = {"name": tracking_event_name, "targetingKey": visitor, "track_id": str(uuid.uuid4())}
        if tracking_event_details is not None:
            if tracking_event_details.value is not None:
                event["value"] = tracking_event_details.value
            attributes = tracking_event_details.attributes
            event.update({name: attributes[name] for name in ("currency", "track_id", "occurred_at") if name in attributes})
        with self._lock:
            event["receipts"] = list(self._receipts.get(visitor, {}).values())
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_all, name="mabel-track", daemon=True)
                self._sender.start()
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            logger.error("%r was not tracked: %d events wait to be sent", tracking_event_name, MAX_WAITING)

    def shutdown(self):
        """Sends what waits."""
        with self._lock:
            sender, self._sender = self._sender, None
        if sender is not None:
            self._waiting.put(None)
            sender.join()
        super().shutdown()

    def _remember(self, visitor, flag, receipt):
        with self._lock:
            flags = self._receipts.setdefault(visitor, OrderedDict())
            flags[flag] = receipt
            flags.move_to_end(flag)
            self._receipts.move_to_end(visitor)
            if len(flags) > MAX_FLAGS:
                flags.popitem(last=False)
            if len(self._receipts) > MAX_VISITORS:
                self._receipts.popitem(last=False)

    def _send_all(self):
        # A session is not for two threads.
        with requests.Session() as session:
            while (event := self._waiting.get()) is not None:
                try:
                    headers = self.headers_factory() if self.headers_factory else None
                    url = f"{self.base_url.rstrip('/')}/v1/track"
                    response = session.post(url, json=event, timeout=self.timeout, headers=headers)
                    response.raise_for_status()
                    refused = [result for result in response.json()["results"] if result["outcome"] == "refused"]
                    if refused:
                        logger.warning("%r was refused: %s", event["name"], refused)
                except Exception:
                    logger.exception("%r was not tracked", event["name"])


class _Remembering(Hook):
    """What a visitor was shown last of each flag is what an event is a reward of."""

    def __init__(self, remember):
        self._remember = remember

    def after(self, hook_context, details, hints):
        visitor = hook_context.evaluation_context.targeting_key
        receipt = details.flag_metadata.get("receipt")
        if visitor and receipt:
            self._remember(visitor, details.flag_key, receipt)
