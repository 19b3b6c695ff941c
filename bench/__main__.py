"""`make bench`: figures that the README and the decisions cite, as ratios measured in the same run."""

from bench import aws_client, fleet, torn

if __name__ == "__main__":
    aws_client.main()
    fleet.main()
    torn.main()
