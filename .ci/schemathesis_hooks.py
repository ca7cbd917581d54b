"""Signs schemathesis in as the demo clinic's doctor. Loaded by .ci/schemathesis through SCHEMATHESIS_HOOKS."""

import os
import time

import requests
import schemathesis

LOGOUT = r"/auth/logout$"
# An access token lives for ten minutes.
REFRESH_AFTER_SECONDS = 420


def sign_in() -> str:
    """An access token of a new session."""
    for _ in range(5):
        answer = requests.post(
            os.environ["FUZZ_LOGIN_URL"],
            json={"email": os.environ["FUZZ_EMAIL"], "password": os.environ["FUZZ_PASSWORD"]},
            timeout=10,
        )
        if answer.status_code != 429:
            break
        # Generated sign-ins share our address and so our allowance.
        time.sleep(min(float(answer.headers.get("Retry-After", "1")), 60.0))
    answer.raise_for_status()
    return answer.json()["access_token"]


class Doctor:
    def get(self, case, context):
        return sign_in()

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


# One session for everything, but for the operation that ends the session it is called with.
schemathesis.auth(refresh_interval=REFRESH_AFTER_SECONDS).skip_for(path_regex=LOGOUT)(Doctor)
schemathesis.auth(refresh_interval=None).apply_to(path_regex=LOGOUT)(Doctor)
