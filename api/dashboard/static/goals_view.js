// How the reader wants to see the list. It is kept in the page's address: a link shows the same, and going back does too.
import { STATUSES } from "./format.js";
import { isOrder } from "./goal_order.js";

export function readView(query) {
  const given = new URLSearchParams(query);
  const [sort, status] = [given.get("sort"), given.get("status")];
  return {
    sort: isOrder(sort) ? sort : "need",
    isGrouped: given.get("group") === "status",
    status: STATUSES.includes(status) ? status : null,
    search: given.get("search") ?? "",
  };
}

// What is as always is left out; empty when all is.
export function queryOf({ sort, isGrouped, status, search }) {
  const query = new URLSearchParams();
  if (sort !== "need") query.set("sort", sort);
  if (isGrouped) query.set("group", "status");
  if (status) query.set("status", status);
  if (search.trim()) query.set("search", search.trim());
  return query.size ? `?${query}` : "";
}
