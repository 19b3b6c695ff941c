"""`make bench`: figures that the README and the decisions cite, as ratios measured in the same run."""

from bench import acting, aws_client, fleet, results, rotation, startup, torn

if __name__ == "__main__":
    results.write(
        [
            *startup.measured(),
            *fleet.measured(1_000),
            *fleet.measured(10_000, is_alone=True),
            *rotation.measured(),
            *acting.measured(),
        ]
    )
    aws_client.main()
    torn.main()
