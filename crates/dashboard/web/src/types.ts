// The few shapes of the API that the interface relies on; the rest of an object is looked at as it comes.
export interface Owner {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
}
export interface Meta {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: Owner[];
  finalizers?: string[];
  managedFields?: unknown[];
}
export interface KObject {
  apiVersion?: string;
  kind?: string;
  metadata: Meta;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  [field: string]: any;
}
export interface Column {
  name: string;
  type: string;
  format?: string;
  description?: string;
  priority: number;
}
export interface Row {
  cells: unknown[];
  object: { metadata: Meta };
}
/** A resource as discovery tells it. */
export interface Resource {
  group: string;
  version: string;
  plural: string;
  kind: string;
  namespaced: boolean;
  verbs: string[];
  short: string[];
  sub: string[];
}
