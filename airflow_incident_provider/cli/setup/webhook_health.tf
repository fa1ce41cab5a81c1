resource "datadog_synthetics_test" "incident_health" {
  name      = "Airflow incident response accepts alerts"
  type      = "api"
  subtype   = "http"
  status    = "live"
  locations = ["aws:eu-central-1"] # a private location, if the address is not public
  message   = "Alerts do not become incidents: GET /incidents/health says why. @your-on-call"
  request_definition {
    method = "GET"
    url    = "$base/health"
  }
  assertion {
    type     = "statusCode"
    operator = "is"
    target   = "200"
  }
  options_list {
    tick_every = 60
    retry {
      count    = 2
      interval = 5000
    }
  }
}
