package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/pennypost/pennypost/internal/audit"
)

// OTLP sends records as OpenTelemetry logs: OTLP/HTTP in its JSON encoding, to a collector's …/v1/logs. Each record is the body
// of a log record, as text; its stream and organisation are attributes.
type OTLP struct {
	HTTP
	LogGroup string // the ARN, told as aws.log.group.arns
}

// The messages of opentelemetry/proto/logs/v1/logs.proto as far as they are sent. In JSON its 64-bit numbers are texts.
type (
	otlpRequest struct {
		ResourceLogs []otlpResourceLogs `json:"resourceLogs"`
	}
	otlpResourceLogs struct {
		Resource  otlpResource    `json:"resource"`
		ScopeLogs []otlpScopeLogs `json:"scopeLogs"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpScopeLogs struct {
		Scope      otlpScope       `json:"scope"`
		LogRecords []otlpLogRecord `json:"logRecords"`
	}
	otlpScope struct {
		Name string `json:"name"`
	}
	otlpLogRecord struct {
		TimeUnixNano         string          `json:"timeUnixNano"`
		ObservedTimeUnixNano string          `json:"observedTimeUnixNano"`
		SeverityNumber       int             `json:"severityNumber"`
		SeverityText         string          `json:"severityText"`
		Body                 otlpValue       `json:"body"`
		Attributes           []otlpAttribute `json:"attributes"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		Text  *string    `json:"stringValue,omitempty"`
		Array *otlpArray `json:"arrayValue,omitempty"`
	}
	otlpArray struct {
		Values []otlpValue `json:"values"`
	}
	otlpAnswer struct {
		PartialSuccess struct {
			RejectedLogRecords json.RawMessage `json:"rejectedLogRecords"` // a text or a number
			ErrorMessage       string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
)

const severityInfo = 9

func otlpText(s string) otlpValue { return otlpValue{Text: &s} }

// Send posts the records in one request.
func (o OTLP) Send(ctx context.Context, records []audit.LogRecord) error {
	list := make([]otlpLogRecord, len(records))
	for i, r := range records {
		at := strconv.FormatInt(r.Time.UnixNano(), 10)
		list[i] = otlpLogRecord{
			TimeUnixNano: at, ObservedTimeUnixNano: at, SeverityNumber: severityInfo, SeverityText: "INFO", Body: otlpText(string(r.JSON)),
			Attributes: []otlpAttribute{
				{"workmail.stream", otlpText(string(r.Stream))}, {"workmail.organization.id", otlpText(r.Organization)},
			},
		}
	}
	body, err := json.Marshal(otlpRequest{[]otlpResourceLogs{{
		Resource: otlpResource{[]otlpAttribute{
			{"service.name", otlpText("pennypost")},
			{"aws.log.group.arns", otlpValue{Array: &otlpArray{[]otlpValue{otlpText(o.LogGroup)}}}},
		}},
		ScopeLogs: []otlpScopeLogs{{otlpScope{"pennypost"}, list}},
	}}})
	if err != nil {
		return fmt.Errorf("log endpoint: %w", err)
	}
	answer, err := o.post(ctx, "application/json", body)
	if err != nil {
		return err
	}
	var a otlpAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil // taken; what a collector says beyond that is not needed
	}
	text, err := strconv.Unquote(string(a.PartialSuccess.RejectedLogRecords))
	if err != nil {
		text = string(a.PartialSuccess.RejectedLogRecords)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 { // and must not be sent again
		return &audit.Rejected{Records: min(n, int64(len(records))), Why: "the collector rejected them"}
	}
	return nil
}
