"""IAM, STS and Secrets Manager: translate, decide nothing."""
