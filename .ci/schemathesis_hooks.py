"""Signs schemathesis in as the demo clinic's doctor. Loaded by .ci/schemathesis through SCHEMATHESIS_HOOKS."""

import os
import time
import uuid

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


# Generated ids exist nowhere. Every second request gets a real one, so that more than "not found" is tried.
REAL = {}
turns = 0


def real(name: str) -> str:
    """The id of Ana, whom the doctor attends, or of the conversation with her."""
    if not REAL:
        url = os.environ["FUZZ_LOGIN_URL"].removesuffix("/auth/login")
        password = os.environ["FUZZ_PASSWORD"]
        ana = requests.post(
            f"{url}/auth/login", json={"email": "ana.lopez@clinic.example", "password": password}, timeout=10
        )
        ana.raise_for_status()
        REAL["user_id"] = ana.json()["user"]["id"]
        chat = requests.post(
            f"{url}/conversations",
            json={"type": "group", "participants": [REAL["user_id"]]},
            headers={"Authorization": f"Bearer {sign_in()}"},
            timeout=10,
        )
        chat.raise_for_status()
        REAL["id"] = chat.json()["id"]
    return REAL[name]


def every_second() -> bool:
    global turns
    turns += 1
    return turns % 2 == 0


def is_id(value) -> bool:
    try:
        return isinstance(value, str) and bool(uuid.UUID(value))
    except ValueError:
        return False


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters and is_id(path_parameters.get("id")) and every_second():
        path_parameters["id"] = real("id")
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and every_second():
        if is_id(body.get("user_id")):
            body["user_id"] = real("user_id")
        people = body.get("participants")
        if isinstance(people, list) and people and all(map(is_id, people)):
            body["participants"] = [real("user_id")]
    return body
