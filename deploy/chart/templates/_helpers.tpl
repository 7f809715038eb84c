{{/* The name of the release's objects: names of pods have at most 63 characters. */}}
{{- define "larder.name" -}}
{{- if contains "larder" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-larder" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "larder.selector" -}}
app.kubernetes.io/name: larder
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "larder.labels" -}}
{{ include "larder.selector" . }}
app.kubernetes.io/component: cache
app.kubernetes.io/part-of: larder
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* A value in a line of the file of --config: a # begins a comment there, and numbers have no exponent. */}}
{{- define "larder.value" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . | replace "#" "\\#" -}}
{{- end -}}
{{- end -}}

{{/* The file of --config. */}}
{{- define "larder.file" -}}
port {{ .Values.port }}
listen *
admin *:{{ .Values.adminPort }}
{{- if .Values.keepItems.enabled }}
memory-file /var/lib/larder/items
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- range (kindIs "slice" $value | ternary $value (list $value)) }}
{{ $name }} {{ include "larder.value" . }}
{{- end }}
{{- end }}
{{ end -}}
