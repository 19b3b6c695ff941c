"""IAM, STS, Secrets Manager and the other services of AWS: translate, decide nothing."""
