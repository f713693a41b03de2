"""Visitors of a server that uses the published OpenFeature SDK: python server.py BASE VISITORS SEED RATES"""

import json
import logging
import os
import random
import sys

from mabel_openfeature import MabelProvider
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.track import TrackingEventDetails

base, visitors, seed, rates = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
uniform = random.Random(seed).random
flags = {}


def of(details):
    assert details.error_code is None, details
    flag = {"shown": {}, "conversions": {}, "control": {"shown": 0, "conversions": 0}}
    return flags.setdefault(details.flag_key, flag)


def count(details, what):
    if details.flag_metadata["control"]:
        of(details)["control"][what] += 1
    else:
        counts = of(details)[what]
        counts[details.variant] = counts.get(details.variant, 0) + 1


headers = {"Authorization": f"Bearer {os.environ['MABEL_KEY']}"}
api.set_provider(MabelProvider(base, headers_factory=lambda: headers))
client = api.get_client()
for index in range(visitors):
    attributes = {"device": "mobile" if index % 2 else "desktop", "cart": {"items": ["hat"]}}
    context = EvaluationContext(f"visitor-{index}", attributes)
    hero = client.get_string_details("hero", "none", context)
    banner = client.get_float_details("banner", 0.0, context)
    for details, goal in ((hero, "purchase"), (banner, "signup")):
        count(details, "shown")
        if uniform() < rates[details.variant]:
            count(details, "conversions")
            client.track(goal, context, TrackingEventDetails(value=1))

# What goes wrong is the code's default, and an event that nobody takes is only logged.
context = EvaluationContext("visitor-0")
errors = {
    "unknown": client.get_string_details("nothing", "none", context),
    "keyless": client.get_float_details("banner", 7.0),
}
api.shutdown()
logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.getMessage())
logging.getLogger("openfeature.mabel").addHandler(handler)
api.set_provider(MabelProvider("http://127.0.0.1:9"))
errors["unreachable"] = api.get_client().get_string_details("hero", "none", context)
api.get_client().track("purchase", context)
api.shutdown()
errors = {name: {"value": details.value, "code": details.error_code} for name, details in errors.items()}
print(json.dumps({"flags": flags, "errors": errors, "untracked": sum("not tracked" in text for text in logged)}))
