"""A template's intrinsic functions, worked out: what CloudFormation would put into each resource."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
REGION = "eu-central-1"
_SUB = re.compile(r"\$\{(?P<name>[A-Za-z0-9:.]+)\}")
_GONE = object()


@dataclass(slots=True, kw_only=True)
class Stack:
    """A template with its parameters, and the physical IDs and attributes of what was made from it."""

    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    name: str = "keyrota"
    ids: dict[str, str] = field(default_factory=dict)
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Find the resources of a type that the conditions let be, with their properties worked out."""
        return {
            name: self.resolve(one.get("Properties", {}))
            for name, one in self.template["Resources"].items()
            if one["Type"] == kind and self.holds(one.get("Condition"))
        }

    def holds(self, condition: str | None) -> bool:
        """Return whether a condition holds."""
        return condition is None or bool(self.resolve(self.template["Conditions"][condition]))

    def resolve(self, value: Any) -> Any:
        """Work out a value."""
        found = self._resolve(value)
        return None if found is _GONE else found

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for found in (self._resolve(one) for one in value) if found is not _GONE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name.startswith("Fn::"):
                return self._function(name.removeprefix("Fn::"), argument)
        made = {key: self._resolve(one) for key, one in value.items()}
        return {key: one for key, one in made.items() if one is not _GONE}

    def _ref(self, name: str) -> Any:
        pseudo = {
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": _GONE,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.template.get("Parameters", {}):
            return self.parameters.get(name, self.template["Parameters"][name].get("Default"))
        return self.ids.get(name, f"{self.name}-{name}")

    def _function(self, name: str, argument: Any) -> Any:  # noqa: PLR0911  # one line a function
        match name:
            case "Join":
                return str(argument[0]).join(str(part) for part in self._resolve(argument[1]))
            case "Sub":
                text = argument if isinstance(argument, str) else argument[0]
                return _SUB.sub(lambda match: str(self._named(match["name"])), text)
            case "GetAtt":
                return self._attribute(*argument)
            case "If":
                return self._resolve(argument[1] if self.holds(argument[0]) else argument[2])
            case "Equals":
                left, right = self._resolve(argument)
                return left == right
            case "Not":
                return not self._resolve(argument[0])
            case "Or":
                return any(self._resolve(argument))
            case "And":
                return all(self._resolve(argument))
            case "Select":
                return self._resolve(argument[1])[int(argument[0])]
            case "Split":
                return str(self._resolve(argument[1])).split(argument[0])
        raise NotImplementedError(name)

    def _named(self, name: str) -> Any:
        return self._attribute(*name.split(".", 1)) if "." in name and "::" not in name else self._ref(name)

    def _attribute(self, resource: str, name: str) -> str:
        if (resource, name) in self.attributes:
            return self.attributes[resource, name]
        made, kind = self._ref(resource), self.template["Resources"][resource]["Type"]
        if name != "Arn":
            return str(made)
        place = f"{REGION}:{ACCOUNT}"
        return {
            "AWS::SQS::Queue": f"arn:aws:sqs:{place}:{made}",
            "AWS::Lambda::Function": f"arn:aws:lambda:{place}:function:{made}",
            "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{made}",
            "AWS::Logs::LogGroup": f"arn:aws:logs:{place}:log-group:{made}:*",
            "AWS::Events::Rule": f"arn:aws:events:{place}:rule/{made}",
            "AWS::S3::Bucket": f"arn:aws:s3:::{str(made).lower()}",
            "AWS::StepFunctions::StateMachine": f"arn:aws:states:{place}:stateMachine:{made}",
            "AWS::SNS::Topic": f"arn:aws:sns:{place}:{made}",
            "AWS::KMS::Key": f"arn:aws:kms:{place}:key/{made}",
        }[kind]
