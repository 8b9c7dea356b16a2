-- Part of apply.lua, put in where it says so: experiments. Who saw which variant, and what those who saw it did.
--
-- A subject belongs to the variant that it saw first by the broker's clock (of two at one moment: by name), whatever the
-- order in which the partitions are counted. So when an earlier sighting comes late, what the subject did moves with it.
-- To know that, a book holds a line for each subject: `l:<experiment>` its sighting, `<ms>|<crossed>|<variant>`, and
-- `l:<experiment>:<conversion goal>` what it did, `<conversions>|<whole>|<millionths>`, and `|<carried>` where there is
-- something (see values.lua). A book is a family of hashes that grows by linear hashing like a seen set, small enough to
-- stay listpacks, about 30 bytes a line.
local LINES, VALUE = 64, string.byte('v')
local limits, experiments, variants, exposures = unpack(batch[11] or {{}, {}, {}, {}})
local books, lines = {}, {}
local by_owner, earliest, allowed = {}, {}, {}

local function open_book(name)
  local book = books[name]
  if not book then
    book = open_family('l:' .. name)
    books[name] = book
  end
  return book
end

local function split_book(book)
  local source, target, begin = next_split(book)
  local found, moved, names = call('HGETALL', source), {}, {}
  for i = 1, #found, 2 do
    if place_of(found[i]) >= begin then
      moved[#moved + 1] = found[i]; moved[#moved + 1] = found[i + 1]
      names[#names + 1] = found[i]
    end
  end
  if #names > 0 then
    call('HSET', target, unpack(moved))
    call('HDEL', source, unpack(names))
  end
  note_split(book)
end

local function read_line(name, subject)
  local book = open_book(name)
  return book.size > 0 and call('HGET', bucket_of(book, subject), subject)
end

local function write_line(name, subject, line)
  local book = open_book(name)
  local bucket = bucket_of(book, subject)
  local before = call('HGET', bucket, subject)
  call('HSET', bucket, subject, line)
  lines[#lines + 1] = {book, subject, before}
  if not before then
    book.size = book.size + 1
    if book.size > book.buckets * LINES then split_book(book) end
  end
end

local function add(owner, field, number)
  local own = by_owner[owner]
  if not own then
    own = {}
    by_owner[owner] = own
  end
  own[field] = (own[field] or 0) + number
end

local function add_value_of(owner, suffix, whole, micro, carry)
  local sum, times = carried((by_owner[owner] and by_owner[owner]['v' .. suffix] or 0) + whole)
  add(owner, 'u' .. suffix, micro)
  by_owner[owner]['v' .. suffix] = sum
  if carry + times ~= 0 then add(owner, 'w' .. suffix, carry + times) end
end

-- Whether `field` is one of at most `most` that `counter` counts; it becomes one while there is room.
local function is_known(owner, field, counter, most)
  local own = by_owner[owner] or {}
  if own[field] or call('HEXISTS', prefix .. owner, field) == 1 then return true end
  if tonumber(call('HGET', prefix .. owner, counter) or '0') + (own[counter] or 0) >= most then
    if not own['refused'] and call('HEXISTS', prefix .. owner, 'refused') == 0 then add(owner, 'refused', 1) end
    return false
  end
  add(owner, field, 1)
  add(owner, counter, 1)
  return true
end

local function is_allowed(index)
  if allowed[index] == nil then
    local id, key, project = unpack(experiments[variants[index][1]])
    local owner = 'y:' .. project
    allowed[index] = is_known(owner, 'k|' .. key, '#', limits[1])
      and is_known(owner, 'v|' .. id .. '|' .. variants[index][2], '#' .. id, limits[2])
  end
  return allowed[index]
end

-- Byte by byte: `<` on texts would ask the locale of the server.
local function is_before(left, right)
  for i = 1, math.min(#left, #right) do
    local a, b = string.byte(left, i), string.byte(right, i)
    if a ~= b then return a < b end
  end
  return #left < #right
end

local function read_deeds(id, goal, subject)
  local line = read_line(id .. ':' .. goal, subject) or '0|0|0'
  local number, whole, micro, carry = string.match(line, '^([^|]*)|([^|]*)|([^|]*)|?(.*)$')
  return tonumber(number), tonumber(whole), tonumber(micro), tonumber(carry) or 0
end

local function write_deeds(id, goal, subject, number, whole, micro, carry)
  local rest, times = carried(whole)
  local line = text(number) .. '|' .. text(rest) .. '|' .. text(micro)
  if carry + times ~= 0 then line = line .. '|' .. text(carry + times) end
  write_line(id .. ':' .. goal, subject, line)
end

-- The conversion goals that may have lines in this experiment: those with counters, and those of this batch.
local function goals_of(owner)
  local found = {}
  local names = call('HKEYS', prefix .. owner)
  for i = 1, #names do
    local goal = string.match(names[i], '^n|([^|]*)|')
    if goal then found[goal] = true end
  end
  for field in pairs(by_owner[owner] or {}) do
    local goal = string.match(field, '^n|([^|]*)|')
    if goal then found[goal] = true end
  end
  return found
end

local function move(id, subject, from, to)
  local owner = 'x:' .. id
  add(owner, 'e|' .. from, -1)
  add(owner, 'e|' .. to, 1)
  for goal in pairs(goals_of(owner)) do
    local number, whole, micro, carry = read_deeds(id, goal, subject)
    for variant, sign in pairs({[from] = -1, [to] = 1}) do
      local suffix = '|' .. goal .. '|' .. variant
      if number ~= 0 then add(owner, 'n' .. suffix, sign * number) end
      if number > 0 then add(owner, 's' .. suffix, sign) end
      if whole ~= 0 or micro ~= 0 or carry ~= 0 then
        add_value_of(owner, suffix, sign * whole, sign * micro, sign * carry)
      end
    end
  end
end

local function expose(index, subject, at)
  if not is_allowed(index) then return end
  local id, variant = experiments[variants[index][1]][1], variants[index][2]
  local owner = 'x:' .. id
  earliest[owner] = earliest[owner] or {}
  local seen = earliest[owner]
  seen['t|' .. variant] = math.min(seen['t|' .. variant] or at, at)
  if not subject then return end
  local line = read_line(id, subject)
  if not line then
    write_line(id, subject, text(at) .. '|0|' .. variant)
    add(owner, 'e|' .. variant, 1)
    return
  end
  local first_at, crossed, first = string.match(line, '^(.-)|(.-)|(.*)$')
  first_at = tonumber(first_at)
  if first == variant then
    if at < first_at then write_line(id, subject, text(at) .. '|' .. crossed .. '|' .. first) end
    return
  end
  if crossed == '0' then add(owner, 'crossed', 1) end
  if at < first_at or (at == first_at and is_before(variant, first)) then
    move(id, subject, first, variant)
    write_line(id, subject, text(at) .. '|1|' .. variant)
  elseif crossed == '0' then
    write_line(id, subject, text(first_at) .. '|1|' .. first)
  end
end

-- Once per session or visitor means: of those events that carry an assignment to the experiment. Whether one that
-- carries none came first would depend on the order of the partitions.
local function is_due(guard, id, whose)
  if not guard then return true end
  local who = whose[guard[2]]
  return who and is_added(guard[1] .. ':' .. id, who)
end

-- A conversion of the goal counts for these variants, each under the one that the subject saw first.
local function count_for(assignments, sign, goal, guard, value, whose)
  local subject = whose[2]
  for i = 1, #assignments do
    local index = assignments[i]
    if is_allowed(index) and is_due(guard, experiments[variants[index][1]][1], whose) then
      local id, variant = experiments[variants[index][1]][1], variants[index][2]
      local owner, by_whole, by_micro = 'x:' .. id, 0, 0
      if value then by_whole, by_micro = sign * value[1], sign * value[2] end
      if subject then
        local line = read_line(id, subject)
        if line then variant = string.match(line, '^.-|.-|(.*)$') end
        local number, before, micro_before, carry_before = read_deeds(id, goal, subject)
        local after = number + sign
        write_deeds(id, goal, subject, after, before + by_whole, micro_before + by_micro, carry_before)
        if number <= 0 and after > 0 then add(owner, 's|' .. goal .. '|' .. variant, 1) end
        if number > 0 and after <= 0 then add(owner, 's|' .. goal .. '|' .. variant, -1) end
      end
      add(owner, 'n|' .. goal .. '|' .. variant, sign)
      if value then add_value_of(owner, '|' .. goal .. '|' .. variant, by_whole, by_micro, 0) end
    end
  end
end

local function expose_all()
  for i = 1, #exposures do expose(exposures[i][1], exposures[i][2], exposures[i][3]) end
end

-- Grows what can be taken back; returns what is set once nothing can be refused any more.
local function write_experiments()
  for owner, own in pairs(by_owner) do
    for field, number in pairs(own) do
      if number ~= 0 and string.byte(field) == VALUE and string.sub(owner, 1, 2) == 'x:' then
        grow_whole(prefix .. owner, string.sub(field, 2), number)
      elseif number ~= 0 then
        grow_field(prefix .. owner, field, number)
      end
    end
  end
  local moments = {}
  for owner, own in pairs(earliest) do
    for field, at in pairs(own) do
      local known = tonumber(call('HGET', prefix .. owner, field) or '')
      if not known or at < known then moments[#moments + 1] = {prefix .. owner, field, at} end
    end
  end
  return moments
end

local function set_experiments(moments)
  for i = 1, #moments do call('HSET', moments[i][1], moments[i][2], text(moments[i][3])) end
  for _, book in pairs(books) do
    if book.size > book.before then call('HSET', book.key, 'n', text(book.size), 'b', text(book.buckets)) end
  end
end

local function undo_experiments()
  for i = #lines, 1, -1 do
    local book, subject, before = unpack(lines[i])
    if before then
      call('HSET', bucket_of(book, subject), subject, before)
    else
      call('HDEL', bucket_of(book, subject), subject)
    end
  end
  for _, book in pairs(books) do
    if book.before == 0 then
      call('DEL', book.key)
    elseif book.size > book.before then
      call('HSET', book.key, 'n', text(book.before), 'b', text(book.buckets))
    end
  end
end
