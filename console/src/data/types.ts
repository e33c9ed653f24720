// What the API says: the shapes of crates/edge-http/src/dto, field for field.

import type { Cell } from "./json";

export interface Sample {
  at_ms: number;
  records_in_per_s: number;
  records_out_per_s: number;
  bytes_in_per_s: number;
  bytes_out_per_s: number;
  pipelines_lag: number;
  groups_lag: number;
}

export interface Overview {
  at_ms: number;
  node: { version: string; node_id: number; cluster_id: string; kafka: string; http: string; started_ms: number };
  traffic: {
    records_in_total: number;
    bytes_in_total: number;
    records_out_total: number;
    bytes_out_total: number;
    records_in_per_s: number | null;
    bytes_in_per_s: number | null;
    records_out_per_s: number | null;
    bytes_out_per_s: number | null;
  };
  lag: { pipelines_records: number; groups_records: number; sinks_records: number };
  storage: { topics: number; partitions: number; log_bytes: number; connections: number };
  memory: { resident_bytes: number; state_bytes: number; state_limit_bytes: number };
  pipelines: PipelineSummary[];
  alerts_firing: number;
  alerts: FiringAlert[];
  dead_letters_total: number;
  late_rows_total: number;
  history?: Sample[];
}

export type PipelineState = "running" | "catching-up" | "paused" | "failed";
export type SinkState = "running" | "retrying" | "paused" | "failed";

export interface PipelineSummary {
  name: string;
  state: PipelineState;
  reason: string | null;
  lag_records: number;
  rows_total: number;
  rows_per_s: number | null;
  watermark_ms: number | null;
}

export interface Pipeline extends PipelineSummary {
  steps_total: number;
  step_last_us: number;
  state_bytes: number;
  state_limit_bytes: number;
  operators: Operator[];
  sinks: Sink[];
}

export interface Operator {
  id: string;
  kind: string;
  label: string;
  detail: string;
  inputs: string[];
  owner: string | null;
  rows_total: number;
  rows_per_s: number | null;
  state_bytes: number;
  watermark_ms: number | null;
  late_rows_total: number;
}

export interface Sink {
  name: string;
  connector: string;
  from: string;
  target: string;
  state: SinkState;
  lag_records: number;
  error: string | null;
  rows_total: number;
  rows_per_s: number | null;
  last_write_ms: number | null;
}

export interface Topic {
  name: string;
  internal: boolean;
  partitions: number;
  records: number;
  bytes: number;
  records_in_total: number;
  records_in_per_s: number | null;
  bytes_in_per_s: number | null;
}

export interface TopicDetail {
  topic: Topic;
  partitions: { partition: number; start: number; end: number; bytes: number; leader: number }[];
  config: Record<string, string>;
  read_by: string[];
}

export interface Payload {
  format: "json" | "text" | "base64";
  data: string;
  size: number;
  truncated: boolean;
}

export interface TopicRecord {
  partition: number;
  offset: number;
  timestamp_ms: number;
  key: Payload | null;
  value: Payload | null;
  headers: { name: string; value: Payload | null }[];
}

export interface Group {
  name: string;
  state: string;
  protocol: string;
  members: { id: string; client_id: string; host: string; assigned: string[] }[];
  partitions: {
    topic: string;
    partition: number;
    committed: number | null;
    end: number;
    lag: number;
    member: string | null;
  }[];
  lag_total: number;
}

export interface ViewColumn {
  name: string;
  type: string;
  key?: boolean;
}

export interface View {
  name: string;
  kind: "view" | "table" | "alert";
  pipeline: string;
  query: string;
  columns: ViewColumn[];
  append_only: boolean;
  emit_on_close: boolean;
  rows: number;
  bytes: number;
  retention_ms: number | null;
  watermark_ms: number | null;
  changes_total: number;
  changes_per_s: number | null;
  error_rows: number;
}

export interface ViewRows {
  columns: ViewColumn[];
  rows: Cell[][];
  total: number;
  commit: number;
}

export interface ChangeBatch {
  commit: number;
  changes: { op: "insert" | "delete"; row: Cell[] }[];
}

export interface FiringAlert {
  alert: string;
  severity: string;
  key: string;
  since_ms: number;
  row: Record<string, Cell>;
}

export interface AlertEvent {
  at_ms: number;
  kind: "fired" | "resolved";
  alert: string;
  severity: string;
  key: string;
  row: Record<string, Cell>;
}

export interface AlertInfo {
  name: string;
  pipeline: string;
  severity: string;
  query: string;
  notify: string[];
  firing: number;
  fired_total: number;
  pending: number;
  error: string | null;
}

export interface Alerts {
  alerts: AlertInfo[];
  firing: FiringAlert[];
  history: AlertEvent[];
}

export interface DeadLetter {
  at_ms: number;
  pipeline: string;
  source: string;
  topic: string;
  partition: number;
  offset: number;
  reason: string;
  key: Payload | null;
  value: Payload | null;
}

export interface DeadLetters {
  total: number;
  counts: { pipeline: string; source: string; total: number }[];
  newest: DeadLetter[];
}

export interface SqlResult {
  columns: ViewColumn[];
  rows: Cell[][];
  message: string | null;
  behind: number;
  truncated: boolean;
}

export interface SourceError {
  message: string;
  line?: number;
  column?: number;
  file?: string;
  caret?: string;
  hint?: string;
  rendered?: string;
}
