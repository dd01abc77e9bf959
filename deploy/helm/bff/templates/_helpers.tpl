{{- define "bff.name" -}}
{{- $name := contains "bff" .Release.Name | ternary .Release.Name (printf "%s-bff" .Release.Name) }}
{{- trunc 53 $name | trimSuffix "-" }}
{{- end }}

{{- define "bff.selector" -}}
app.kubernetes.io/name: bff
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bff.labels" -}}
{{ include "bff.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The configuration as it is in the ConfigMap: the operator's, with the listeners that probes and Services need. */ -}}
{{- define "bff.config" -}}
{{- if not .Values.config }}{{ fail "values: write `config`, the content of bff.yaml" }}{{ end }}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "listen" "0.0.0.0:8080" }}
{{- $_ := set $config "management" "0.0.0.0:9090" }}
{{- if hasKey $config "forward_auth" }}{{ $_ := set $config "forward_auth" (dict "listen" "0.0.0.0:8081") }}{{ end }}
{{- toYaml $config }}
{{- end }}

{{- /* A duration of bff.yaml (500ms 30s 3m 1h) in whole seconds, rounded up. */ -}}
{{- define "bff.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int }}
{{- if hasSuffix "ms" . }}{{ div (add $number 999) 1000 }}
{{- else if hasSuffix "s" . }}{{ $number }}
{{- else if hasSuffix "m" . }}{{ mul $number 60 }}
{{- else if hasSuffix "h" . }}{{ mul $number 3600 }}
{{- else }}{{ fail (printf "call_limit: %s is no duration such as 3m" .) }}
{{- end }}
{{- end }}

{{- /* 5 s to leave, 30 s for requests under way, 10 s to write, and the longest provider call (call_limit, 3m unless said). */ -}}
{{- define "bff.gracePeriod" -}}
{{- if .Values.terminationGracePeriodSeconds }}{{ .Values.terminationGracePeriodSeconds }}
{{- else }}
{{- $longest := 0 }}
{{- range (.Values.config.providers | default dict) }}
{{- $longest = max $longest (include "bff.seconds" (.call_limit | default "3m") | int) }}
{{- end }}
{{- add 45 $longest }}
{{- end }}
{{- end }}

{{- define "bff.host" -}}
{{- .Values.ingress.host | default (get (urlParse .Values.config.public_url) "hostname") }}
{{- end }}
