variable "incident_webhook_secret" {
  description = "The password of the Airflow connection $conn_id"
  type        = string
  sensitive   = true
}

resource "datadog_webhook_custom_variable" "incident_secret" {
  name      = "$variable"
  value     = var.incident_webhook_secret
  is_secret = true
}

resource "datadog_webhook" "incident" {
  name           = "$name"
  url            = "$url"
  encode_as      = "json"
  custom_headers = $headers
  payload        = <<-JSON
$payload
  JSON
  depends_on     = [datadog_webhook_custom_variable.incident_secret]
}
