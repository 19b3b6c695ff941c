"""`make bench`: figures that the README and the decisions cite, as ratios measured in the same run."""

from bench import aws_client, fleet, results, startup, torn

if __name__ == "__main__":
    results.write([*startup.measured(), *fleet.measured(1_000), *fleet.measured(10_000, is_alone=True)])
    aws_client.main()
    torn.main()
