package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/otlp"
)

// OTLP sends records as OpenTelemetry logs: OTLP/HTTP in its JSON encoding, to a collector's …/v1/logs. Each record is the body
// of a log record, as text; its stream and organisation are attributes.
type OTLP struct {
	HTTP
	LogGroup string // the ARN, told as aws.log.group.arns
}

// The messages of opentelemetry/proto/logs/v1/logs.proto as far as they are sent.
type (
	otlpRequest struct {
		ResourceLogs []otlpResourceLogs `json:"resourceLogs"`
	}
	otlpResourceLogs struct {
		Resource  otlp.Resource   `json:"resource"`
		ScopeLogs []otlpScopeLogs `json:"scopeLogs"`
	}
	otlpScopeLogs struct {
		Scope      otlp.Scope      `json:"scope"`
		LogRecords []otlpLogRecord `json:"logRecords"`
	}
	otlpLogRecord struct {
		TimeUnixNano         string           `json:"timeUnixNano"`
		ObservedTimeUnixNano string           `json:"observedTimeUnixNano"`
		SeverityNumber       int              `json:"severityNumber"`
		SeverityText         string           `json:"severityText"`
		Body                 otlp.Value       `json:"body"`
		Attributes           []otlp.Attribute `json:"attributes"`
	}
	otlpAnswer struct {
		PartialSuccess struct {
			RejectedLogRecords json.RawMessage `json:"rejectedLogRecords"` // a text or a number
			ErrorMessage       string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
)

const severityInfo = 9

// Send posts the records in one request.
func (o OTLP) Send(ctx context.Context, records []audit.LogRecord) error {
	list := make([]otlpLogRecord, len(records))
	for i, r := range records {
		at := otlp.Nanos(r.Time)
		list[i] = otlpLogRecord{
			TimeUnixNano: at, ObservedTimeUnixNano: at, SeverityNumber: severityInfo, SeverityText: "INFO", Body: otlp.Of(string(r.JSON)),
			Attributes: []otlp.Attribute{
				{Key: "workmail.stream", Value: otlp.Of(r.Stream)}, {Key: "workmail.organization.id", Value: otlp.Of(r.Organization)},
			},
		}
	}
	body, err := json.Marshal(otlpRequest{[]otlpResourceLogs{{
		Resource: otlp.Resource{Attributes: []otlp.Attribute{
			{Key: "service.name", Value: otlp.Of("pennypost")},
			{Key: "aws.log.group.arns", Value: otlp.Of([]string{o.LogGroup})},
		}},
		ScopeLogs: []otlpScopeLogs{{otlp.Pennypost(), list}},
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
