"""
AWS on loopback: moto's backends behind a layer that refuses what AWS refuses.

moto lets through what AWS does not (docs/facts/emulators.md): Inactive and deleted keys, wrong secrets, one
ClientRequestToken with two contents, labels on two versions. What is mended here is tested in
tests/contract/test_strict_aws.py.
"""

from __future__ import annotations

import functools
import io
import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from keyrota_sandbox.aws import credential_report, iam, s3, signature, trust
from keyrota_sandbox.aws.meter import Meter
from keyrota_sandbox.aws.policy_evaluator import Resources, Rights, action_of, denial
from keyrota_sandbox.aws.secrets import Refused, SecretRules, labels_of
from keyrota_sandbox.aws.signature import Signed
from keyrota_sandbox.clock import TimeMachine, make_missing
from keyrota_sandbox.faults import Fault, FaultKind, Faults
from keyrota_sandbox.server import Cut, Request, Response

ADMIN_ID = "AKIASANDBOXADMIN0000"
ADMIN_SECRET = "sandbox/only/secret/of/the/administrator"  # noqa: S105  # opens nothing but the sandbox
_TOLERANCE = timedelta(minutes=5)
_JSON_SERVICES = {"secretsmanager", "ssm", "events", "cloudtrail", "kms"}
_KEY_CALLS = {"CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey", "ListAccessKeys"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, for counting and for the demo."""

    at: datetime
    operation: str
    """`iam:CreateAccessKey`."""
    key: str
    status: int


def _tag_keys(form: Mapping[str, str]) -> Iterator[str]:
    """Name the tags that a call to IAM sets or removes."""
    for name, value in form.items():
        if name.startswith("TagKeys.") or (name.startswith("Tags.") and name.endswith(".Key")):
            yield value


class StrictAws:
    """The service: verifies, refuses, lets moto answer, and notes the call."""

    def __init__(self, clock: TimeMachine, faults: Faults, *, seed: int = 0) -> None:
        try:
            from moto.cloudtrail.responses import CloudTrailResponse  # noqa: PLC0415  # an extra
            from moto.core import DEFAULT_ACCOUNT_ID  # noqa: PLC0415
            from moto.core import responses as moto_responses  # noqa: PLC0415
            from moto.events.responses import EventsHandler  # noqa: PLC0415
            from moto.iam.models import iam_backends  # noqa: PLC0415
            from moto.iam.responses import IamResponse  # noqa: PLC0415
            from moto.kms.responses import KmsResponse  # noqa: PLC0415
            from moto.moto_api._internal import moto_api_backend  # noqa: PLC0415
            from moto.s3.models import FakeBucket, s3_backends  # noqa: PLC0415
            from moto.s3.responses import S3Response  # noqa: PLC0415
            from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415
            from moto.secretsmanager.responses import SecretsManagerResponse  # noqa: PLC0415
            from moto.sns.responses import SNSResponse  # noqa: PLC0415
            from moto.ssm.models import ssm_backends  # noqa: PLC0415
            from moto.ssm.responses import SimpleSystemManagerResponse  # noqa: PLC0415
            from moto.sts.responses import TokenResponse  # noqa: PLC0415
        except ImportError:
            raise make_missing("moto") from None
        _quicken(moto_responses)
        s3.answer_as_over_tls(FakeBucket)
        self._s3_backends = s3_backends
        self.account_id = str(DEFAULT_ACCOUNT_ID)
        self.clock = clock
        self.faults = faults
        self.propagation = timedelta(seconds=8)
        """A new key is refused for so long …"""
        self.flapping = timedelta()
        """… and then, for so long, accepted by chance."""
        self.journal: list[Call] = []
        self.meter = Meter()
        self.rights = Rights()
        """Whose calls are judged by policies: nobody's, until someone is given statements."""
        self.on_call: Callable[[str, Request, Response, str], None] = lambda *_: None
        """Called after each call with its operation, request, response and access key ID: what CloudTrail would see."""
        self._random = random.Random(seed)  # noqa: S311  # a seed makes a history, no secret
        self._lock = threading.RLock()
        self._iam_backends = iam_backends
        self._rules = SecretRules()
        self._reports = credential_report.CredentialReports()
        self._sessions: dict[str, iam.Session] = {}
        self._secrets_backends = secretsmanager_backends
        self._ssm_backends = ssm_backends
        self._services: Mapping[str, Callable[..., Any]] = {
            "iam": IamResponse.dispatch,
            "sts": TokenResponse.dispatch,
            "secretsmanager": SecretsManagerResponse.dispatch,
            "ssm": SimpleSystemManagerResponse.dispatch,
            "events": EventsHandler.dispatch,
            "sns": SNSResponse.dispatch,
            "kms": KmsResponse.dispatch,
            "cloudtrail": CloudTrailResponse.dispatch,
            "s3": _s3(S3Response),
        }
        self.reset: Callable[[], None] = moto_api_backend.reset
        """Forgets everything: users, keys, secrets."""

    @property
    def iam(self) -> Any:
        """Moto's IAM of the sandbox's own account."""
        return self.iam_of(self.account_id)

    def iam_of(self, account: str) -> Any:
        """Moto's IAM of an account; another one begins empty."""
        return self._iam_backends[account]["aws"]

    def __call__(self, request: Request) -> Response:
        """Answer one call."""
        signed = signature.read(request)
        service = signed.service if signed else "sts"
        operation = f"{service}:{_action(request)}"
        if not self.meter.admits(operation):
            code = "ThrottlingException" if service in _JSON_SERVICES else "Throttling"
            return self._refusal(service, 400, code, "Rate exceeded")
        fault = self.faults.take(operation)
        with self._lock:
            response = self._answer(request, signed, service, fault)
            key = signed.key if signed else ""
            self.journal.append(Call(at=self.clock.now(), operation=operation, key=key, status=response.status))
            self.on_call(operation, request, response, key)
        if fault and fault.kind in {FaultKind.LOST_BEFORE, FaultKind.LOST_AFTER}:
            raise Cut
        return response

    def _answer(self, request: Request, signed: Signed | None, service: str, fault: Fault | None) -> Response:
        if fault and fault.kind in {FaultKind.ERROR, FaultKind.LOST_BEFORE}:
            return self._refusal(service, fault.status, fault.code, fault.message)
        try:
            self._authenticate(request, signed)
            self._authorize(request, signed)
            self._refuse_traps(request, service)
            if service == "s3" and s3.is_of_another(request, self._s3_backends):
                raise Refused("AccessDenied", "Access Denied", status=403)  # noqa: TRY301  # answered below
            response = self._let_moto_answer(request, signed, service)
        except Refused as refused:
            return self._refusal(service, refused.status, refused.code, refused.message)
        except NotImplementedError:
            return self._refusal(service, 400, "UnsupportedOperation", "sandbox: this operation is not embedded")
        if fault and fault.kind is FaultKind.ERROR_AFTER:
            return self._refusal(service, fault.status, fault.code, fault.message)
        return response

    # --- who calls ------------------------------------------------------------------------------------------------

    def _authenticate(self, request: Request, signed: Signed | None) -> None:
        if signed is None:
            raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token", status=403)
        is_json = signed.service in _JSON_SERVICES
        unknown = "UnrecognizedClientException" if is_json else "InvalidClientTokenId"
        wrong = "InvalidSignatureException" if is_json else "SignatureDoesNotMatch"
        status = 400 if is_json else 403
        if not self._is_of_now(signed.at):
            late = signed.at is None or signed.at < self.clock.now()
            message = "Signature expired" if late else "Signature not yet current"
            raise Refused(wrong, f"{message}: {signed.at} is not within 5 minutes of now", status=status)
        secret = self._secret_of(signed.key)
        if secret is None:
            raise Refused(unknown, "The security token included in the request is invalid.", status=status)
        if not signature.is_right(request, signed, secret):
            raise Refused(wrong, "The request signature we calculated does not match", status=status)

    def _authorize(self, request: Request, signed: Signed | None) -> None:
        """Refuse what the caller's policies do not allow."""
        if signed is None or signed.key not in self.rights.principals:
            return
        action = _action(request)
        name = action_of(request, signed.service, action)
        account = self._account_of(signed.key)
        finder = Resources(account, self.iam_of(account), self._secrets_backends)
        resource = finder.of(request, signed, action, _form(request))
        if not self.rights.permits(signed.key, name, resource, _tag_keys(_form(request))):
            is_json = signed.service in _JSON_SERVICES
            code = "AccessDeniedException" if is_json else "AccessDenied"
            message = denial(self.rights.principals[signed.key], name, resource)
            raise Refused(code, message, status=400 if is_json else 403)

    def _is_of_now(self, at: datetime | None) -> bool:
        """The process that asks may live in the real time or in the travelled one."""
        moments = (self.clock.now(), self.clock.real_now())
        return at is not None and any(abs(moment - at) <= _TOLERANCE for moment in moments)

    def _secret_of(self, key: str) -> str | None:
        if key == ADMIN_ID:
            return ADMIN_SECRET
        if (session := self._sessions.get(key)) is not None:
            is_good = self.clock.now() < session.until and self._secret_of(session.owner) is not None
            return session.secret if is_good else None
        record = self._record_of(key)[1]
        return str(record.secret_access_key) if record is not None and self._is_accepted(record) else None

    def _record_of(self, key: str) -> tuple[str, Any]:
        for account, backends in tuple(self._iam_backends.items()):
            for backend in tuple(backends.values()):
                if key in backend.access_keys:
                    return account, backend.access_keys[key]
        return self.account_id, None

    def _account_of(self, key: str) -> str:
        return self._record_of(key)[0]

    def _is_accepted(self, record: Any) -> bool:
        if record.status != "Active":
            return False
        if record.user_name is None:  # temporary credentials work at once
            return True
        age = self.clock.now() - record.create_date.replace(tzinfo=UTC)
        if age < self.propagation:
            return False
        return age >= self.propagation + self.flapping or self._random.random() < 0.5  # noqa: PLR2004  # a coin

    # --- what is asked --------------------------------------------------------------------------------------------

    def _refuse_traps(self, request: Request, service: str) -> None:
        action = _action(request)
        if service == "iam" and action in _KEY_CALLS and "UserName" not in _form(request):
            raise Refused(
                "ValidationError", f"sandbox: {action} without UserName acts on the caller; name the user", status=400
            )

    def _let_moto_answer(self, request: Request, signed: Signed | None, service: str) -> Response:
        from moto.core.request import Request as MotoRequest  # noqa: PLC0415  # an extra

        if signed is None or service not in self._services:
            raise Refused("InvalidAction", f"sandbox: the service {service} is not embedded", status=400)
        content = request.json() if service == "secretsmanager" else None
        action, form = _action(request), _form(request)
        if (service, action) == ("iam", "GetAccessKeyLastUsed"):
            self._demand_own_key(form.get("AccessKeyId", ""), self._account_of(signed.key))
        if service == "iam":
            iam.check(action, form, self._iam_backends[self._account_of(signed.key)]["aws"])
        if service == "iam" and action in credential_report.ACTIONS:
            account = self._account_of(signed.key)
            return self._reports.answer(action, account, self.iam_of(account), self.clock.now())
        if (service, action) == ("sts", "GetAccessKeyInfo"):
            return iam.access_key_info(form.get("AccessKeyId", ""))
        if (service, action) == ("ssm", "PutParameter"):
            iam.check_parameter(request.json() or {})
        if (service, action) == ("ssm", "AddTagsToResource"):
            there = self._ssm_backends[self._account_of(signed.key)][signed.region]
            iam.check_parameter_tags(request.json() or {}, there._resource_tags)  # noqa: SLF001  # moto has no other way without an answer
        if (service, action) == ("sts", "AssumeRole"):
            self._demand_trust(form, signed.key)
        secret, before = None, labels_of(None)
        if isinstance(content, dict):
            secret = self._rules.secret(content, self._account_of(signed.key), signed.region)
            before = labels_of(secret)
            settled = self._rules.check(action, content, secret)
            if settled is not None:
                return _json_ok(settled)
        url = f"https://{service}.{signed.region}.amazonaws.com{request.target}"
        moto_request = MotoRequest(_environ(request, service))
        status, headers, body = self._services[service](moto_request, url, moto_request.headers)
        if status < 300:  # noqa: PLR2004  # HTTP: success
            self._rules.settle(action, secret, before)
        answer = Response(status=status, headers=headers, body=body.encode() if isinstance(body, str) else body)
        return self._as_aws(service, action, form, signed.key, answer)

    def _demand_own_key(self, key: str, account: str) -> None:
        """Refuse to tell of another account's key; moto looks through all accounts."""
        owner, record = self._record_of(key)
        if record is not None and owner != account:
            message = f"not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key {key}"
            raise Refused("AccessDenied", message, status=403)

    def _demand_trust(self, form: Mapping[str, str], key: str) -> None:
        """Let a role be assumed only where it is there and trusts the caller."""
        owner = self._sessions[key].owner if key in self._sessions else key
        account, user = self._account_of(owner), self._arn_of(owner)
        caller = user or f"arn:aws:iam::{account}:{'user/administrator' if owner == ADMIN_ID else 'role/assumed'}"
        parts = form.get("RoleArn", "").split(":")
        roles = self.iam_of(parts[4]).roles.values() if len(parts) == 6 else ()  # noqa: PLR2004  # parts of an ARN
        trust.check(form, next((role for role in roles if role.arn == form["RoleArn"]), None), caller)

    def _as_aws(self, service: str, action: str, form: Mapping[str, str], key: str, answer: Response) -> Response:
        """Correct what moto answers otherwise than AWS."""
        if service not in {"iam", "sts"}:
            return answer
        answer = iam.whole_seconds(iam.cut_page(action, form, answer) if service == "iam" else answer)
        owner = self._sessions[key].owner if key in self._sessions else key
        if (service, action) == ("sts", "GetSessionToken"):
            return iam.give_session(answer, owner, self._sessions)
        if (service, action) == ("sts", "GetCallerIdentity"):
            if owner == ADMIN_ID:
                return iam.administrator(answer, self.account_id)
            return iam.identity_of(owner, self._arn_of, answer) if owner != key else answer
        return answer

    def _arn_of(self, key: str) -> str | None:
        """Find the ARN of the user whose key it is."""
        account, record = self._record_of(key)
        if record is None or record.user_name is None:
            return None
        return str(self._iam_backends[account]["aws"].users[record.user_name].arn)

    def _refusal(self, service: str, status: int, code: str, message: str) -> Response:
        date = {"Date": f"{self.clock.now():%a, %d %b %Y %H:%M:%S GMT}"}
        if service in _JSON_SERVICES:
            body = json.dumps({"__type": code, "Message": message, "message": message})
            return Response(
                status=status, body=body.encode(), headers=date | {"Content-Type": "application/x-amz-json-1.1"}
            )
        kind = "Sender" if status < 500 else "Receiver"  # noqa: PLR2004  # HTTP: whose fault
        text = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{escape(code)}</Code>"
            f"<Message>{escape(message)}</Message></Error><RequestId>sandbox</RequestId></ErrorResponse>"
        )
        return Response(status=status, body=text.encode(), headers=date | {"Content-Type": "text/xml"})


def _quicken(responses: Any) -> None:
    """Let moto look up the methods of a class once; it does so in every call, for a fifth of its time."""
    names = getattr(responses, "method_names_from_class", None)
    if names is not None and not hasattr(names, "cache_info"):
        responses.method_names_from_class = functools.cache(names)


def _s3(response: Any) -> Callable[..., Any]:
    """Choose between a bucket and an object of it, as a path names them."""

    def dispatch(request: Any, url: str, headers: Any) -> Any:
        path = url.split("://", 1)[1].partition("/")[2].partition("?")[0]
        is_object = bool(path.partition("/")[2])
        return (response.key_dispatch if is_object else response.ambiguous_dispatch)(request, url, headers)

    return dispatch


def _json_ok(content: Mapping[str, Any]) -> Response:
    return Response(
        status=200, body=json.dumps(content).encode(), headers={"Content-Type": "application/x-amz-json-1.1"}
    )


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def _action(request: Request) -> str:
    target = request.headers.get("x-amz-target", "")
    return target.rpartition(".")[2] if target else _form(request).get("Action", "")


def _environ(request: Request, service: str) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.target.partition("?")[2],
        "RAW_URI": request.target,
        "SERVER_NAME": service,
        "SERVER_PORT": "443",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(request.body),
        "CONTENT_LENGTH": str(len(request.body)),
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        if key != "CONTENT_LENGTH":
            environ["CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
