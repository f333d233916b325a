// The committed dashboards as values of Grafana's own type. Enumerations of texts are taken by their
// text, since JSON has no other; the query of an annotation is the datasource's own.
import type { Dashboard } from "@grafana/schema";

export type Loose<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer U)[]
      ? Loose<U>[]
      : T extends object
        ? { [K in keyof T]: Loose<T[K]> }
        : T;

type Annotations = NonNullable<NonNullable<Dashboard["annotations"]>["list"]>;
type OfInflux = {
  query?: string;
  textColumn?: string;
  tagsColumn?: string;
  fromAnnotations?: boolean;
};
export type Committed = Omit<Loose<Dashboard>, "annotations"> & {
  annotations?: { list?: (Loose<Annotations[number]> & OfInflux)[] };
};
