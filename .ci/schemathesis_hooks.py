"""Signs schemathesis in as people of the demo clinic. Loaded by .ci/schemathesis through SCHEMATHESIS_HOOKS."""

import base64
import os
import struct
import time
import uuid
import zlib

import requests
import schemathesis

# Operations that end the session they are called with, or others of the same person.
ENDS_SESSIONS = r"/auth/(logout|logout-all|sessions.*|password/change|change-password)$"
# Operations of those who run the clinic, and of those who run the installation.
OF_THE_CLINIC = r"/admin/(?!users)|/auth/invitations|/moderation/"
OF_THE_INSTALLATION = r"/admin/users"
# Only patients call for help.
OF_A_PATIENT = {"path_regex": r"/emergencies$", "method": "POST"}
# An access token lives for ten minutes.
REFRESH_AFTER_SECONDS = 420


PATIENT = "ana.lopez@clinic.example"
DOCTOR = "maria.martinez@clinic.example"
STUDENT = "aisha.rehman@clinic.example"
CLINIC = "admin@clinic.example"
INSTALLATION = "it@clinic.example"

# A device that has signed in before is not locked out by the wrong passwords that are generated for its owner; but
# signing out everywhere makes it forgotten.
devices = {}
# Whoever is signed in here, whom no generated request may shut out.
needed = set()


def sign_in(email: str = DOCTOR) -> dict:
    """A new session."""
    asked = {"email": email, "password": os.environ["FUZZ_PASSWORD"], **devices.get(email, {})}
    for attempt in range(7):
        answer = requests.post(os.environ["FUZZ_LOGIN_URL"], json=asked, timeout=10)
        if answer.status_code == 401:
            # A wrong password that was generated for this address has locked it, for a second or a few.
            time.sleep(2.0**attempt)
        elif answer.status_code == 429:
            # Generated sign-ins share our address and so our allowance.
            time.sleep(min(float(answer.headers.get("Retry-After", "1")), 60.0))
        else:
            break
    answer.raise_for_status()
    devices[email] = {"device_token": answer.json()["device_token"]}
    needed.add(answer.json()["user"]["id"])
    return answer.json()


def person(email: str) -> type:
    """Whoever has this address, as schemathesis wants it."""

    class Person:
        def get(self, case, context):
            return sign_in(email)["access_token"]

        def set(self, case, token, context):
            case.headers["Authorization"] = f"Bearer {token}"

    Person.__name__ = email
    return Person


# One session for everything, but for what ends sessions: someone else does that, in a session for each request.
(
    schemathesis.auth(refresh_interval=REFRESH_AFTER_SECONDS)
    .skip_for(path_regex=ENDS_SESSIONS)
    .skip_for(path_regex=OF_THE_CLINIC)
    .skip_for(**OF_A_PATIENT)
    .skip_for(path_regex=OF_THE_INSTALLATION)(person(DOCTOR))
)
schemathesis.auth(refresh_interval=None).apply_to(path_regex=ENDS_SESSIONS)(person(STUDENT))
schemathesis.auth(refresh_interval=REFRESH_AFTER_SECONDS).apply_to(path_regex=OF_THE_CLINIC)(person(CLINIC))
schemathesis.auth(refresh_interval=REFRESH_AFTER_SECONDS).apply_to(**OF_A_PATIENT)(person(PATIENT))
schemathesis.auth(refresh_interval=REFRESH_AFTER_SECONDS).apply_to(path_regex=OF_THE_INSTALLATION)(person(INSTALLATION))

# A piece of an upload is bytes.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

for known in (PATIENT, DOCTOR, STUDENT, CLINIC, INSTALLATION):
    sign_in(known)


# Generated ids exist nowhere. Every second request gets a real one, so that more than "not found" is tried.
REAL = {}
turns = 0


def dot() -> bytes:
    """A picture of one grey dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")


def real(name: str) -> str:
    """The id of Ana, whom the doctor attends, of the conversation with her, or of a file or an upload in it."""
    if not REAL:
        REAL["user_id"] = sign_in(PATIENT)["user"]["id"]
        signed_in = {"Authorization": f"Bearer {sign_in()['access_token']}"}

        def post(path: str, headers=(), **body):
            url = os.environ["FUZZ_LOGIN_URL"].removesuffix("/auth/login") + path
            answer = requests.post(url, headers={**signed_in, **dict(headers)}, timeout=10, **body)
            answer.raise_for_status()
            return answer

        chat = post("/conversations", json={"type": "group", "participants": [REAL["user_id"]]}).json()["id"]
        REAL["conversation"] = chat
        file = {"file": ("dot.png", dot(), "image/png")}
        REAL["file"] = post("/files", files=file, data={"conversation_id": chat}).json()["id"]
        named = ",".join(
            f"{name} {base64.b64encode(value.encode()).decode()}"
            for name, value in {"filename": "scan.pdf", "conversation_id": chat}.items()
        )
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000", "Upload-Metadata": named}
        REAL["upload"] = post("/files/uploads", headers=tus).headers["Location"].rsplit("/", 1)[1]
    return REAL[name]


def kind(operation) -> str | None:
    """What `{id}` stands for in the path of an operation; nothing where it is not to be a real one."""
    if "/files/" not in operation.path:
        return "conversation"
    if operation.method.upper() == "DELETE":
        # The others need it still.
        return None
    return "upload" if "/uploads/" in operation.path else "file"


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
    if path_parameters and "/admin/" in context.operation.path:
        for name, value in path_parameters.items():
            # Ids come back from earlier answers. An administrator would deactivate whom the others are signed in as.
            if isinstance(value, str) and value in needed:
                path_parameters[name] = str(uuid.uuid4())
    named = kind(context.operation)
    if path_parameters and named and is_id(path_parameters.get("id")) and every_second():
        path_parameters["id"] = real(named)
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("email"), str) and body["email"].strip().lower() in devices:
        # Wrong passwords for these would lock us out.
        body["email"] = "nobody@clinic.example"
    if isinstance(body, dict) and every_second():
        if is_id(body.get("user_id")):
            body["user_id"] = real("user_id")
        people = body.get("participants")
        if isinstance(people, list) and people and all(map(is_id, people)):
            body["participants"] = [real("user_id")]
    return body
